# %% [markdown]
# # What it costs to watch
#
# ## What was reported
#
# Measurements change what they measure. The talk's figures and the paper's do not say what ran beside the load (a
# packet capture at 10 Gbit/s is no small thing); this lab can watch packets, subflows, counters and cores during any
# experiment, and should say at which price.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import collector_overhead

run = notebooks.open_run("collector-overhead", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
costs = collector_overhead.costs(run)
percent = (100 * costs.groupby(["collector", "stack"], sort=False)["cores"].mean()).unstack("stack")
noise = 100 * collector_overhead.noise(run)
unseen = percent.abs().le(noise).drop(index="none")
notebooks.say(
    f"Two measurements without a collector lie up to {noise:.1f} % of a core apart: the noise.",
    *(
        f"`{stack}`: the dearest collector is `{percent[stack].idxmax()}` with {percent[stack].max():.1f} % of a core;"
        f" within the noise: {', '.join(unseen.index[unseen[stack]]) or 'none'}."
        for stack in percent
    ),
)

# %% [markdown]
# ## Why they differ
#
# There is nothing to compare with, but how to read it:
#
# - `none (noise)` is the difference of two measurements without any collector. What is not clearly above it is not
#   measured.
# - Links of 50 Mbit/s limit the load, so a cost shows as processor time before it shows as lost throughput. On links
#   without a rate it is the other way round.
# - Costs that depend on packets (capture, tracepoints) grow with the load's rate; those that sample (sockets,
#   counters) with their interval and the number of connections. Requests have many connections, bulk many packets:
#   each pays elsewhere.
# - Two cores for everything: a collector's process takes time from server and client, which a third core would not.
#
# ## What to try next
#
# Without a rate, throughput shows who pays:
#
#     sudo ./lab run collector-overhead --set rate=none --set collectors=pcap,sockets,cpu
#     ./lab notebooks collector-overhead
