# %% [markdown]
# # What becomes of a connection behind middleboxes
#
# ## What was reported
#
# The talk: "fully support all kinds of middleboxes (segment-splitting/coalescing, payload-modifying, pro-actively
# acking)". Honda et al., "Is it still possible to extend TCP?" (IMC 2011), probed paths out of 142 access networks
# and found each of them somewhere: options that are removed, sequence numbers that are rewritten, holes that are not
# forwarded, acknowledgements for data that nobody received. The design in "How Hard Can It Be?" (NSDI 2012) and RFC
# 8684 (section 3.7) answers: MPTCP where the path lets it, one path less or plain TCP where it does not, and never
# wrong data.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import middleboxes

run = notebooks.open_run("middleboxes", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
verdicts = middleboxes.matrix(run)
notebooks.say(
    *(
        f"`{stack}`: "
        + ", ".join(
            f"{count} x {middleboxes.VERDICTS[name].meaning}"
            for name, count in verdicts[stack].stack().value_counts().items()
        )
        + "."
        for stack in run.stacks
    ),
    f"Our stack is worse than the kernel's: {'; '.join(middleboxes.worse_rows(run)) or 'nowhere'}.",
)

# %% [markdown]
# ## Why they differ
#
# - The talk claims support and has no table; this is the table. A letter is the worst of all repetitions.
# - `!` (altered bytes delivered) is no fault where a middlebox changes the payload and checksums are off: plain TCP,
#   which the first column shows, delivers them as well. With DSS checksums MPTCP sees the change and gives up the
#   path.
# - Linux's row is of the kernel named above. Where it fails and ours does not, or the other way round, neither claims
#   to be right: RFC 8684 leaves some of these cases open, such as options that vanish in the middle of a connection.
# - The middleboxes are models of one misbehaviour each, without the timeouts, buffers and further bugs of real ones.
#
# ## What to try next
#
# Rows of your choice, with a longer exchange:
#
#     sudo ./lab run middleboxes --set rows=split,coalesce,nat-timeout --set round_bytes="4 MB" --set time_limit_s=30
#     ./lab notebooks middleboxes
