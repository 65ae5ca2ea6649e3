# %% [markdown]
# # Goodput against the size of the buffers
#
# ## What was reported
#
# Raiciu and others, "How Hard Can It Be? Designing and Implementing a Deployable Multipath TCP" (NSDI 2012), section 4:
# over WiFi and 3G, MPTCP with small buffers is slower than TCP over WiFi alone, because what 3G still carries keeps
# the shared window full. With opportunistic retransmission (1) and penalisation of the slow subflow (2) it is never
# slower, and soon has both paths' rate. Autotuning (3) and a cap on congestion windows (4) save memory.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import receive_buffer

run = notebooks.open_run("receive-buffer", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
rates = receive_buffer.summary(run)
alone = rates[rates["path"] == "WiFi"].groupby("buffer_kb")["mean"].max()
together = rates[rates["path"] == "both"]
notebooks.say(
    *(
        f"{receive_buffer.line(run, row.stack, row.path).label}, {row.buffer_kb:g} kB: {row.mean:.2f} Mbit/s, "
        f"{row.mean / alone[row.buffer_kb]:.2f} of TCP over WiFi (n = {row.n})."
        for row in together.itertuples()
        if row.buffer_kb in alone
    )
)

# %% [markdown]
# ## Why they differ
#
# - Up to about 100 kB our MPTCP is as fast as WiFi without any mechanism: where buffers are too small for both paths,
#   our scheduler waits for the fast path when only its pace holds it up. What is missing are the two per cent of
#   MPTCP's longer options. The paper's kernel did not pace.
# - Between, the mechanisms decide, and of the two it is penalisation: retransmission alone repairs each stop, but the
#   slow path goes on causing them.
# - Linux's MPTCP of today is another code than the paper's. Its scheduler estimates where data will be through first;
#   it has no penalisation, so that with small buffers it stays below TCP over WiFi.
# - Autotuning is there to save memory, not to be faster, and begins at 128 KiB with us.
# - What waits for older data as the count begins counts when it is delivered. In seconds that is worth up to
#   2 Mbit/s with 1000 kB: rates above what both links carry are that. `--scale paper` counts 25 s.
#
# ## What to try next
#
# A scheduler that foresees the blocking, without the mechanisms:
#
#     sudo ./lab run receive-buffer --stacks kernel-tcp,python-mptcp+scheduler=blest+penalisation=off
