# %% [markdown]
# # The first experiment: every stack in a few minutes
#
# ## What was reported
#
# As for `ab-microflows`, whose short form this is: the talk's figure of requests per second against response size
# (ApacheBench, 100 at once; Raiciu et al., NSDI 2012) has MPTCP below TCP for the smallest responses and towards
# twice its rate for the largest, with link bonding above both while responses are small and links equal.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import ab_microflows

run = notebooks.open_run("quickstart", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
notebooks.latencies(run)

# %%
over_tcp = ab_microflows.over_reference(run)
small, large = over_tcp.index.min(), over_tcp.index.max()
notebooks.say(
    *(
        f"`{stack}`: {over_tcp.at[small, stack]:.2f} x kernel TCP at {small / 1000:g} kB,"
        f" {over_tcp.at[large, stack]:.2f} x at {large / 1000:g} kB."
        for stack in over_tcp
        if stack != ab_microflows.REFERENCE
    )
)

# %% [markdown]
# ## Why they differ
#
# - Three sizes and few requests: enough to see the shape, too few for the size at which MPTCP overtakes TCP. The
#   notebook of `ab-microflows` has more of both, and says what separates links of 50 Mbit/s on two cores from the
#   paper's machines.
# - ab with Apache stands beside our own load generator (hollow markers), where the stack can carry real programs.
#   Where the two differ, at 1 kB, generators and servers are part of the limit; where they agree, the links are it.
#
# ## What to try next
#
# Four links instead of two:
#
#     sudo ./lab run quickstart --set paths=4
#     ./lab notebooks quickstart
