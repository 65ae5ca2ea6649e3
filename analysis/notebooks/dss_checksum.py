# %% [markdown]
# # What DSS checksums cost
#
# ## What was reported
#
# Raiciu et al., "How Hard Can It Be?" (NSDI 2012), had to decide whether every mapping carries a checksum, which finds
# middleboxes that alter the stream. TCP's own checksum is the network card's work; this one is the processor's. On
# 10 Gbit/s cards the paper varied the size of segments: with small ones other costs limit and the checksum hardly
# shows, with large ones goodput drops noticeably. RFC 8684 lets the ends negotiate it for that reason.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import dss_checksum

run = notebooks.open_run("dss-checksum", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
goodput, cpu = (dss_checksum.ratios(run, value) for value in dss_checksum.PANELS)


def told(table, key):
    """A ratio with its spread and the number of pairs."""
    row = table.loc[key]
    return f"{row['mean']:.2f}" + (f" ± {row['sd']:.2f}" if row["n"] > 1 else "")


notebooks.say(
    *(
        f"`{key[1]}`, {dss_checksum.SEGMENTS[key[0]]}: {told(goodput, key)} times the goodput and"
        f" {told(cpu, key)} times the processor time for a byte, with checksums (n = {goodput.at[key, 'n']})."
        for key in goodput.index
    )
)

# %% [markdown]
# ## Why they differ
#
# - Here sender and receiver share one machine, and where they limit each other both pay for the checksum. A real card
#   has a processor at each end, and at 10 Gbit/s the wire may be the limit, which hides a cost that there is.
# - The kernel sums in machine code; CPython takes 1.4 ns a byte or more at either end, for the remainder of a long
#   integer. With super-segments that is more than all else our stack does for a byte; with segments of one MSS the work
#   for each segment is so much that the checksum adds little to it, as in the paper.
# - A checksum covers a whole mapping, so nothing of it goes to the connection before its last byte: with
#   super-segments that is 64 KB at a time.
# - Goodput varies more than processor time: the programs, and whatever else the machine does, compete for its cores.
#   Look at the processor time first.
#
# ## What to try next
#
# One subflow has less to pay beside the checksum:
#
#     sudo ./lab run dss-checksum --set paths=1
#     ./lab notebooks dss-checksum
