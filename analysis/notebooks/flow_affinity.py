# %% [markdown]
# # Flow-to-core affinity
#
# ## What was reported
#
# The talk: packets of one TCP flow are steered to one core; with Multipath TCP the subflows of one connection are
# steered to different cores, which costs cache misses in levels 1 and 2. An MPTCP-aware Receive Flow Steering sends
# all subflows to the same core. It was shown on 10 Gbit/s interfaces, as goodput by kind of steering; the drawings
# survive, the numbers in them do not.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import flow_affinity

run = notebooks.open_run("flow-affinity", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
shares = flow_affinity.summary(run, "home_percent").pivot(index="stack", columns="steering", values="mean")
shares = shares.reindex(index=run.stacks, columns=list(flow_affinity.STEERING))
notebooks.say(
    *(
        f"`{stack}`: on the application's core were "
        + ", ".join(f"{shares.at[stack, name]:.0f} % ({label})" for name, label in flow_affinity.STEERING.items())
        + " of the packets."
        for stack in run.stacks
    )
)

# %% [markdown]
# ## Why they differ
#
# - What the talk is about shows in the left panel: under RPS a hash decides, which with two cores is a coin tossed
#   for each subflow (its dots lie at 0 and 100 %); with MPTCP-aware steering all are on the application's core.
# - Linux has had this since 6.18: it records every subflow in RFS's table when the application receives. On such a
#   kernel plain RFS and MPTCP-aware steering should look alike, and the talk's problem is solved; on an older one RFS
#   should look like RPS for kernel MPTCP.
# - No gain in goodput is to be expected here: two virtual cores with a sender on one of them have no idle core to
#   scatter to, share the last level of cache, and interrupts of a real card are missing. Where the machine has
#   hardware counters the results have its cache misses; where it has none, that stands in the manifest, and no number
#   is made up for it.
# - Our stack is one process, so its subflows always meet on one core. What steering changes for it is the kernel's
#   work from the link to the device.
#
# ## What to try next
#
# Super-segments instead of packets of 1500 B, so that there is less to steer for the same bytes:
#
#     sudo ./lab run flow-affinity --set wire=super-segments
#     ./lab notebooks flow-affinity
