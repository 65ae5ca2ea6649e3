# %% [markdown]
# # Bulk transfer over unshaped links
#
# ## What was reported
#
# Nothing in the talk of 2012 corresponds directly: it lists TSO and NET-DMA as next steps for its kernel, and ran on
# 10 Gbit/s interfaces. This figure says what a stack in Python can carry at all, and so at which rates the other
# figures still compare protocols rather than programming languages.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import bulk_veth

run = notebooks.open_run("bulk-veth", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
rates = bulk_veth.summary(run)
ours = rates[~rates["stack"].str.startswith("kernel")]
notebooks.say(
    *(
        f"{bulk_veth.WIRES[row.wire]} on the wire: `{row.stack}` moves {row.mean:.2f} Gbit/s, {row.over_loadgen:.2f} of"
        f" what kernel MPTCP does by the same program and {row.over_iperf3:.2f} of what it does by iperf3."
        for row in ours.itertuples()
    )
)

# %% [markdown]
# ## Why they differ
#
# - Links are pairs of virtual interfaces. There is no wire: a byte is copied from one program to the other, and what
#   limits is two cores that do everything. Above what a real card carries, numbers say how cheap a stack is, not how
#   fast a network.
# - With super-segments of 64 KB the kernel pays per byte and our stack per super-segment, each of some tens of
#   microseconds of Python. With packets of 1500 B on the wire the kernel cuts and joins them (TSO, GRO) for both
#   stacks alike, and the distance shrinks.
# - asyncio moves the bytes for every stack, so that the comparison is of stacks. iperf3 shows what the kernel does
#   without Python at its ends.
#
# ## What to try next
#
# More links, and so more subflows for the same two cores:
#
#     sudo ./lab run bulk-veth --set paths=4
#     ./lab notebooks bulk-veth
