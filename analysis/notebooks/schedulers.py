# %% [markdown]
# # Schedulers on paths that differ
#
# ## What was reported
#
# RFC 8684 leaves to the sender which subflow carries what. Linux's first multipath kernel took the subflow of lowest
# round-trip time that had room in its window. Ferlin et al., "BLEST" (IFIP Networking 2016), leave a slow subflow idle
# when it would block the fast one in the peer's window. Lim et al., "ECF" (CoNEXT 2017), found the fast path
# underused beside a slow one, and wait for it when that completes earlier: better rates for streams of video, and for
# web pages better in some cases and worse in none. Redundant sending is known to buy short delays with capacity.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import schedulers

run = notebooks.open_run("schedulers", results)
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
def told(row):
    """What one scheduler made of one load."""
    value = f"{row['rate'] / 1e6:.1f} Mbit/s" if row["load"] == schedulers.BULK else f"{row['p50']:.0f} ms"
    return f"{schedulers.label(row['stack'])} {value} ({row['share']:.0%} on the first path)"


texts = []
for (case, load), found in schedulers.summary(run).groupby(["case", "load"], sort=False):
    download = load == schedulers.BULK
    rows = found.sort_values("rate" if download else "p50", ascending=not download).to_dict("records")
    what = "a download" if download else f"answers of {int(load) // 1000} kB, median"
    texts.append(f"{schedulers.words(run, case)}, {what}: from {told(rows[0])} to {told(rows[-1])}.")
sent = schedulers.summary(run).groupby("stack", sort=False)["sent"].mean().sort_values()
most = schedulers.label(sent.index[-1])
texts.append(f"Sent for each byte of use, all loads: from {sent.iloc[0]:.2f} to {sent.iloc[-1]:.2f} ({most}).")
notebooks.say(*texts)

# %% [markdown]
# ## Why they differ
#
# - For a download little is left to choose: as soon as the fast path's window is full, every scheduler has the other
#   path or nothing. What the papers' schedulers gain there is what a slow path blocks in the peer's window. Here
#   buffers are large, and what does block is sent again on the fast path (opportunistic retransmission).
# - A few segments of a short answer that are sent on the slow path are its last to arrive: they cost the answer that
#   path's delay. BLEST avoids that only where the peer's window would be blocked, which such an answer does not do.
# - ECF asks whether the slow path could take what is left, window after window, within two round trips of the fast one
#   (section 4.1 of its paper). Of a tail of a few segments, a fraction of a window, that would hold; ours counts at
#   least one round trip of the slow path, and leaves the tail to the fast one.
# - The kernel's default takes the subflow that would have sent its queue first, by its rate of pacing.
# - Redundant sending has the fast path's time for a short answer, and pays with copies of what is sent.
# - The papers measured web pages and streams over WiFi and LTE with many repetitions; here are two emulated paths, and
#   at quick scale a handful of answers: differences of a few milliseconds say nothing.
#
# ## What to try next
#
# Paths that differ less, where waiting for the fast one pays less:
#
#     sudo ./lab run schedulers --set cases="10/4:10/30"
#     ./lab notebooks schedulers
