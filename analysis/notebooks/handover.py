# %% [markdown]
# # Vertical handover during a call
#
# ## What was reported
#
# The talk ends with a Skype call from a host with MPTCP through an MPTCP proxy to a host with regular TCP, and a
# vertical handover from WiFi to 3G during the call: it went on. Paasch et al., "Exploring Mobile/WiFi Handover with
# Multipath TCP" (CellNet 2012) measured the same on real networks, in three modes: full (both paths at once), backup
# (3G only when WiFi is gone) and single-path (3G is set up only then). They found handovers smooth enough even for
# voice over IP, and that a lost signal of MPTCP, such as a REMOVE_ADDR, can hold one up.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import handover

run = notebooks.open_run("handover", results)
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
calls = handover.calls(run)
late = {row.Index: (handover.delays(run, row)["delay_ms"] > handover.PLAYOUT_MS).mean() for row in calls.itertuples()}
notebooks.say(
    *(
        f"`{row.stack}`, {row.mode}: the longest time without a frame was {row.interruption_ms:.0f} ms;"
        f" {late[row.Index]:.1%} of the frames to the phone came too late to be played."
        for row in calls.itertuples()
    )
)

# %% [markdown]
# ## Why they differ
#
# - WiFi and 3G are emulated links whose rate and loss change on a schedule; real radio also has retransmissions of
#   its own and signals that arrive with seconds of delay. The moments are therefore sharper here, and the same in
#   every run.
# - The call is frames of a codec over a stream, not Skype, which adapts and conceals. A stream loses no frame; what
#   comes too late for its turn is lost to the ear, and the E-model turns delay and late frames into a score. Nobody
#   listened.
# - WiFi's end is seen here: the interface loses its carrier, and a stack that is told can withdraw the address at
#   once. A path that goes silent is found by timeouts, and takes longer.
# - Single-path has to set up a subflow over 3G after WiFi is gone: one round trip for the handshake, and another
#   until data comes. A stack that keeps no connection without subflows cannot do that; where it is shown as
#   unsupported or failed, the table's first lines say why.
#
# ## What to try next
#
# WiFi that is gone for good costs a call its second change, back to WiFi:
#
#     sudo ./lab run handover --set up_at="30 s"
#     ./lab notebooks handover
