# %% [markdown]
# # Bulk, web and frames over any network
#
# ## What was reported
#
# Nothing in particular: this is the experiment for a network of your own. What papers on Multipath TCP show of a
# scenario is nearly always one of three things: the rate of a long transfer over time, the distribution of the times of
# short requests, and the distribution of the delays of an application in real time. Here they are for any topology.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import distributions, figures, notebooks
from analysis.figures import transfer
from analysis.style import look

run = notebooks.open_run("transfer", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
times = distributions.quantiles(distributions.latencies(run), ["kind", "stack"])
notebooks.say(
    *(
        f"{'requests' if row.kind == 'requests' else 'frames'}, {look(row.stack).label}: half within {row.p50:.0f} ms,"
        f" 95 % within {row.p95:.0f} ms (n = {row.n})."
        for row in times.itertuples()
    )
)

# %%
rates = transfer.rates(run)
notebooks.say(
    *(
        f"bulk transfer, {look(stack).label}: {found['bps'].mean() / 1e6:.1f} Mbit/s on average."
        for stack, found in rates.groupby("stack", sort=False)
    )
)

# %% [markdown]
# ## Why they differ
#
# - A long transfer gets the sum of the paths where both are in use; what is missing is headers, and the time until the
#   second subflow is there. Ours needs more of the processor: where that does other work as well, it falls behind.
# - A short request is over before a second subflow can carry much: MPTCP's cost is that of its handshake and of the
#   subflows that are opened in vain. On the kernel's stacks a connection costs less than on ours.
# - A frame that is sent over the slower path, or waits for one before it that was, is late; where one path carries all
#   frames with ease, one TCP connection does as well.
#
# ## What to try next
#
# A network of your own, or another one of the lab's, with its own parameters:
#
#     sudo ./lab run transfer --set topology=wifi-3g --set wifi_loss='1 %'
#     ./lab notebooks transfer
