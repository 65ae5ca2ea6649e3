# %% [markdown]
# # Our stack and the kernel's, feature by feature
#
# ## What was reported
#
# The talk lists what the Linux implementation of its time had (security of draft v07, IPv6, 64-bit data sequence
# numbers on reception, REMOVE_ADDR, MP_FASTCLOSE), with no peer but itself to try it on: version 1 (RFC 8684) and the
# implementation in today's Linux came later. There is no table to repeat.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import interop

run = notebooks.open_run("interop", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
cells = interop.cells(run)
notebooks.say(
    *(
        f"{count} cells {interop.OUTCOMES[outcome].meaning}."
        for outcome, count in cells["outcome"].value_counts().items()
    ),
    f"{cells['feature'].nunique()} features in {cells['group'].nunique()} groups.",
)

# %% [markdown]
# ## Why they differ
#
# - Whoever agrees with itself may be wrong twice: the peer here is a stack that nobody here wrote, and the packets are
#   read by a third party, tshark. It is no proof that all three read RFC 8684 as it is meant.
# - What cannot be is told from what fails by the kernel's own counters. Linux speaks no version 0; an IPv6 address with
#   a port does not fit beside timestamps into the options of a segment.
# - At quick scale all features are played over IPv4, and those of addresses begun over IPv4 and joined over IPv6 too;
#   at paper scale all of them over all four families. An empty place is a feature of the other role, or not played.
#
# ## What to try next
#
# All features over IPv6 alone, one cell at a time:
#
#     sudo ./lab run interop --set families=v6 --set mixed= --set at_once=1
#     ./lab notebooks interop
