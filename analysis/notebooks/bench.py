# %% [markdown]
# # The benchmark: our stack beside its peers
#
# ## What was reported
#
# The talk of 2012 has requests a second and 10 Gbit/s interfaces, as figures of their own. This one is for whoever
# changes the stack: each row is a load, and a number says how many times as fast as its peer our stack carries it.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import bench

run = notebooks.open_run("bench", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
notebooks.say(
    *(
        f"{line.says}: `{line.stack}` is {line.times:.2f} times as fast as `{line.peer}`"
        f" ({line.low:.2f} to {line.high:.2f}, n = {line.n})."
        for line in bench.summary(run.passed)
    )
)

# %% [markdown]
# ## Why they differ
#
# - Bulk: the kernel pays per byte, our stack per segment. The larger what crosses the links at once, and the fewer the
#   processors, the more it matters that a byte is copied once more on its way through our process.
# - Requests: a connection costs our stack some hundred microseconds at both ends together. From the size on at which
#   the links limit, or the bytes, that is no longer seen.
# - Round trips and connections alone: the kernel answers where a packet comes in, our stack in a process that has to be
#   woken. That takes tens of microseconds each way, whatever the stack does then.
#
# ## What to try next
#
# Some rows alone, for longer:
#
#     sudo ./lab run bench --set rows=bulk-2-super,flows-1k --set seconds=10
#
# What a change of the stack gains or costs, on the same machine and quiet:
#
#     sudo ./lab bench --json > before.json
#     sudo ./lab bench --against before.json
