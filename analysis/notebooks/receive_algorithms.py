# %% [markdown]
# # The cost of out-of-order segments
#
# ## What was reported
#
# Raiciu et al., "How Hard Can It Be? Designing and Implementing a Deployable Multipath TCP" (NSDI 2012): segments that
# are in order on each subflow are out of order at the connection, so that TCP's way to keep them, a list searched from
# its end ("regular"), costs processor time there. Compared with it were a tree, and pointers to where each subflow's
# last segment went ("shortcuts"; then those of all subflows), with 2 and with 8 subflows. The load was higher with 8,
# and there the shortcuts saved most. The figure gave the processor load of the receiving kernel.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import receive_algorithms

run = notebooks.open_run("receive-algorithms", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
costs = receive_algorithms.costs(run).groupby(["subflows", "algorithm"]).mean()


def told(number):
    """What an order of arrival over so many subflows cost."""
    here, points = costs.loc[number], run.passed[run.passed["subflows"] == number]
    return (
        f"With {number} subflows {points['out_of_order_share'].mean():.0%} of the segments had to be kept, and"
        f" {points['held_mean'].mean():.0f} were held when one arrived. The list compares"
        f" {here.at['regular', 'comparisons']:.1f} numbers for a segment, all shortcuts"
        f" {here.at['all-shortcuts', 'comparisons']:.1f}, our bisection {here.at['ours', 'comparisons']:.1f};"
        f" ours takes {here.at['ours', 'ns_ratio']:.2f} times the list's processor time (n = {len(points)})."
    )


notebooks.say(*(told(number) for number in sorted(run.passed["subflows"].unique())))

# %% [markdown]
# ## Why they differ
#
# - The shape is the paper's: with 2 subflows the fast path's segments belong at the end of the list and the slow
#   path's at its front, so a list is as good as anything; with 8 the list has to be walked, and shortcuts need not.
# - The paper measured a whole receiver at high rates. Here the order of arrival is real, and only the queue is
#   measured: the rest of a receiver in Python would hide it.
# - A tree compares fewer numbers than a long list, but what it saves goes into keeping it balanced; at these lengths, a
#   few hundred segments, it gains no time in CPython.
# - Ours compares more numbers than shortcuts do, in a function in C, so that its time does not follow its comparisons.
#   What it has beside the others is the set of ranges that TCP's selective acknowledgements need: the same class puts
#   subflows in order. Shortcuts would save a fifth of its time with 8 subflows, a fraction of a microsecond of the
#   tens that a segment costs in Python, and nothing with 2.
# - This experiment changed the product: it showed that ours took two to three times as long as a list, until bytes
#   that fill the gap, or lie beyond all others, were no longer looked for.
#
# ## What to try next
#
# Paths that differ more have longer queues:
#
#     sudo ./lab run receive-algorithms --set last_delay="200 ms" --set queue="500 kB"
#     ./lab notebooks receive-algorithms
