# %% [markdown]
# # Micro-flows: requests per second against response size
#
# ## What was reported
#
# The talk shows requests per second against response size for 100 simultaneous requests, 100 000 in all, over regular
# TCP, MPTCP and TCP with link bonding. The figure is from Raiciu et al., "How Hard Can It Be?" (NSDI 2012):
# ApacheBench and Apache on two machines with two links of 1 Gbit/s. Its shape, which is what can be compared:
#
# - for small responses MPTCP serves fewer requests than TCP: a connection costs more to set up;
# - somewhere between 30 and 100 kB it overtakes TCP on one link, and goes towards twice its rate;
# - bonding of equal links serves small responses best, and MPTCP catches up with it as responses grow.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import distributions, figures, notebooks
from analysis.figures import ab_microflows

run = notebooks.open_run("ab-microflows", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
over_tcp = ab_microflows.over_reference(run)
small, large = over_tcp.index.min(), over_tcp.index.max()
faster = {stack: [f"{size / 1000:g}" for size in over_tcp.index[over_tcp[stack] > 1]] for stack in over_tcp}
notebooks.say(
    *(
        f"`{stack}`: {over_tcp.at[small, stack]:.2f} x kernel TCP at {small / 1000:g} kB,"
        f" {over_tcp.at[large, stack]:.2f} x at {large / 1000:g} kB;"
        f" faster than it at {', '.join(sizes) + ' kB' if sizes else 'no size'}."
        for stack, sizes in faster.items()
        if stack != ab_microflows.REFERENCE
    )
)

# %% [markdown]
# Where MPTCP overtakes TCP is between two of the sizes measured, or not told: the means must cross there, and every
# repetition agree.

# %%
notebooks.say(
    *(
        f"MPTCP overtakes TCP ({making}, {links} links): {found.text('kB', 1000)}."
        for links in (ab_microflows.EQUAL, ab_microflows.UNEQUAL)
        for making, found in ab_microflows.crossovers(run, links).items()
    )
)

# %% [markdown]
# ## Latencies
#
# Requests per second say how much was served, not how long one user waited. `distributions.latencies` has a row a
# request (from when it was due to the end of its answer; a failed one is longer than any other), `quantiles` sums them
# up, and `draw` makes curves of them: a panel for each value of a column, a curve a stack.

# %%
notebooks.latencies(run)

# %%
distributions.quantiles(distributions.latencies(run), ["links", "size_bytes", "stack"]).round(1)

# %% [markdown]
# ## Why they differ
#
# - At quick scale the links have 50 Mbit/s instead of 1 Gbit/s. From a few kB on they are the limit, not the
#   processors: every stack that uses one link alone meets the same ceiling. Where MPTCP overtakes then says when a
#   second subflow is there and fills its link, not what a processor can do. `--scale paper` has the paper's links and
#   number of requests.
# - Client and server share two cores here, and with them the links' shaping. At 1 kB one sees what a connection costs
#   in processor time. Our stack pays for Python there, and the load generator, itself in Python, is a limit for all:
#   that is why ApacheBench and Apache are measured beside it, on the stacks that can carry them.
# - A response that is through before the second subflow has joined is a TCP connection with more work; one that ends
#   soon after is little more.
# - Kernel MPTCP here is the upstream one (since Linux 5.6), not the talk's implementation.
# - At 2 x 1 Gbit/s the links carry more than two cores can serve from Python: points marked as processor-bound say what
#   a stack costs, not what the links give.
# - A Linux bond sends packets in turn over equal links. On unequal ones that reorders all of them and follows the
#   slower link.
#
# ## What to try next
#
# With queues of a fifth, 100 connections at once lose packets, and the few that wait for one retransmission timeout
# after the other decide a whole run:
#
#     sudo ./lab run ab-microflows --set queue="100 kB"
#     ./lab notebooks ab-microflows
