# %% [markdown]
# # Addresses that go and come
#
# ## What was reported
#
# The talk names mobility with REMOVE_ADDR among what its kernel of 2012 implements, without a figure. What has to
# happen is in RFC 8684: a host that loses an address tells its peer on another path (REMOVE_ADDR, section 3.4.2), and
# the peer closes the subflows of that address; one that gets an address announces it (ADD_ADDR, section 3.4.1), which
# the peer echoes, or joins from it by itself (MP_JOIN, section 3.2). No byte may be lost, whichever path carried it,
# and the path that the connection began with is a path as any other. How soon is not said anywhere.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import mobility

run = notebooks.open_run("mobility", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
delays = mobility.delays(run)
whole = (run.passed["received_sha256"] == run.passed["sent_sha256"]).sum()
seen = {(stack, moves): found.mean(numeric_only=True) for (stack, moves), found in delays.groupby(["stack", "moves"])}
notebooks.say(
    f"The bytes that arrived are those that were sent, by their hashes, in {whole} of {len(run.passed)} transfers.",
    *(
        f"`{stack}`, the {moves}'s addresses: REMOVE_ADDR {one['remove_ms']:.0f} ms after an address was gone, MP_JOIN"
        f" {one['join_ms']:.0f} ms and data {one['data_ms']:.0f} ms after it was back; at most {one['gap_s']:.1f} s"
        " without data for the application."
        for (stack, moves), one in seen.items()
    ),
)

# %% [markdown]
# ## Why they differ
#
# - Time runs from before the program `ip` is started that takes the address away or gives it back. Linux's path manager
#   does not watch addresses: a second `ip`, the daemon's part, follows, and is in its times. Ours hears of the
#   change from the kernel, and answers when its event loop has its turn, on two cores that both ends share.
# - When a server's address returns, its ADD_ADDR has to reach the client before that can join: one delay of the path
#   more than when the client's own returns.
# - Data follow MP_JOIN by two round trips at the least: three segments of the handshake and one of data, each with the
#   delay of the path.
# - Data count on any subflow of the path. Ours ends the subflows of an address that has gone. Linux may keep one, which
#   goes on sending again what it had sent; when its address is back, that can arrive before the new subflow has
#   finished its handshake.
# - The longest time without data is a matter of what was on the lost path, and when it was sent again on the other one:
#   at once with REMOVE_ADDR, or after a retransmission timeout.
#
# ## What to try next
#
# Longer paths, where signals that have to cross them cost more:
#
#     sudo ./lab run mobility --set delay="100 ms" --set step_s=5
#     ./lab notebooks mobility
