# %% [markdown]
# # Who is left with TIME-WAIT
#
# ## What was reported
#
# The talk's first challenge ("Avoiding TIME-WAIT"): applications such as apache2 and ApacheBench avoid TIME-WAIT by
# closing passively, after the other end. At the level of data that works with Multipath TCP, at that of subflows it
# did not: once the data is closed, both ends close their subflows, and the end that took care keeps many of them in
# TIME-WAIT all the same (RFC 8041, section 3.6, tells the same story). The remedy shown in the talk: after the peer's
# DATA_FIN do not close the subflow, wait for its FIN. The talk gave the problem and the rule as drawings, without
# numbers.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import time_wait

run = notebooks.open_run("time-wait", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
counts = time_wait.summary(run)
notebooks.say(
    *(
        f"`{row.stack}`, the {row.closes_first} first: the {time_wait.PASSIVE[row.closes_first]}, who closes second,"
        f" keeps {passive:.0f} of {row.subflows:.0f} subflows in TIME-WAIT ({passive / row.subflows:.0%})."
        for row in counts.itertuples()
        for passive in [getattr(row, f"{time_wait.PASSIVE[row.closes_first]}_time_wait")]
    )
)

# %% [markdown]
# ## Why they differ
#
# - Our stack can do both. Without the rule it does what the talk complains of: subflows of the passive closer linger.
#   With it the end that closes second should keep none, as with plain TCP, whichever end that is.
# - Linux has had a new MPTCP since 5.6. Its first subflow stays with the end that closed first; what the client keeps
#   are subflows that were joined, when both ends closed them at the same moment.
# - How many subflows there are depends on how many joins are through before a short response is: a stack that is slow
#   to answer joins more of them. Compare shares, not counts.
# - The load is ours rather than ApacheBench: it ends a connection when the server has, or as soon as it has the whole
#   response from a server that waits, so that who is passive is no chance.
#
# ## What to try next
#
# Longer responses leave time for every join, and so for two subflows a connection:
#
#     sudo ./lab run time-wait --set size="100 kB"
#     ./lab notebooks time-wait
