# %% [markdown]
# # Fairness at a shared bottleneck
#
# ## What was reported
#
# Multipath TCP must not take more of a link that all its subflows share than one TCP connection would. RFC 6356 makes
# that a goal (section 2, "do no harm") and couples the subflows' windows to reach it (LIA). Khalili et al., "MPTCP is
# not Pareto-optimal" (CoNEXT 2012), found that LIA can still be aggressive to TCP and proposed OLIA; Peng, Walid,
# Hwang and Low (IEEE/ACM ToN 2016) proposed BALIA, between the two in friendliness and response. The talk's kernel of
# 2012 used LIA. Subflows that are not coupled are expected to take a share each: two of them two thirds of the link.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import fairness

run = notebooks.open_run("fairness", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
rates = fairness.summary(run)
notebooks.say(
    *(
        f"`{row.stack}` got {row.mptcp / row.tcp:.2f} times what the TCP connection beside it got (means, n = {row.n})."
        for row in rates.itertuples()
    ),
    f"Jain's index is 1 when both get the same, and {9 / 10:.2f} at two to one.",
)

# %% [markdown]
# ## Why they differ
#
# - The papers ran many flows for minutes on hosts of their own. Here one run lasts seconds at quick scale, and what
#   two connections get of each other is then still a matter of who lost a packet first: look at n and at the spread
#   before you rank LIA, OLIA and BALIA, and at paper scale (`--scale paper`) before you quote any.
# - Two to one is what uncoupled subflows would get if losses met each connection by itself. Here all three share one
#   queue at nearly one round-trip time and often lose together: a single run may be well off, either way.
# - Linux has no coupled congestion control for its MPTCP: every subflow there runs the system's own, so its row
#   belongs beside our uncoupled one.
#
# ## What to try next
#
# A queue of a fifth loses more often and leaves less room for luck:
#
#     sudo ./lab run fairness --set queue="20 kB" --set seconds=30
#     ./lab notebooks fairness
