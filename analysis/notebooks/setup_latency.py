# %% [markdown]
# # Setting up a connection while others are open
#
# ## What was reported
#
# Raiciu et al., "How Hard Can It Be?" (NSDI 2012): a server that gets a SYN with MP_CAPABLE generates a key and must
# check that no open connection has the token which is hashed from it. The time from SYN to SYN/ACK was shown as a
# distribution, for TCP and for MPTCP with more and more connections open: in microseconds, longer than TCP's, and
# longer the more connections there were. Keys prepared in advance were named as the remedy.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks

run = notebooks.open_run("setup-latency", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
answers = run.passed.groupby(["stack", "open"], sort=False)["answer_median_us"].mean().unstack()
fewest, most = answers.columns.min(), answers.columns.max()
notebooks.say(
    *(
        f"`{stack}` answers in {row[fewest]:.0f} µs with {fewest} connections open, and in {row[most]:.0f} µs with"
        f" {most} (medians)."
        for stack, row in answers.iterrows()
    )
)

# %% [markdown]
# ## Why they differ
#
# - What MPTCP adds to the kernel's answer is of the paper's order, a few microseconds for key, hash and check. Growth
#   with the number of connections is not to be expected of today's kernel: its table of tokens is as large as
#   the machine's memory suggests, not a fixed one. Ours is Python's dict.
# - Our stack answers from a process: the kernel hands it the SYN through a TUN device, wakes it, and takes the answer
#   back. That, and not Multipath TCP, makes it tens of times slower; compare Python MPTCP with Python TCP.
# - `connect()` is timed in Python's event loop for every stack, which itself takes some hundred microseconds.
# - The long tails are the machine's: two cores for client, server and capture.
#
# ## What to try next
#
# Ten times as many connections (the client needs that many open files):
#
#     sudo ./lab run setup-latency --set open=1000,10000 --stacks kernel-tcp,kernel-mptcp
#     ./lab notebooks setup-latency
