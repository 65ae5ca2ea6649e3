# %% [markdown]
# # Slower than TCP?
#
# ## What was reported
#
# "MPTCP is slower than TCP" is the second question of everybody who begins with it, and has many answers: a receive
# buffer that the slow path fills (NSDI 2012), a scheduler that sends the last segments by the slow path (ECF, CoNEXT
# 2017; BLEST, Networking 2016), coupled congestion control that takes no more than one path gives, processor time.
# Which of them it is differs from network to network, so that it is measured here: one thing changed at a time.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import why_slower

run = notebooks.open_run("why-slower", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
notebooks.say(*why_slower.sentences(run))

# %% [markdown]
# ## Why they differ
#
# - A bar with a change beside MPTCP as it is says what that one thing costs or gains, with everything else as before.
#   Two things may hold each other up, and then show nothing alone.
# - What paths together can give at most is the sum of TCP's bars. Short downloads get less of it: the second subflow
#   begins a round trip later, and slow start takes some on each.
# - Processor time counts where links are fast, or programs many. On slow links `core` should make no difference;
#   where it does, the machine is what was measured.
#
# ## What to try next
#
# Your own network, and a size of what you carry:
#
#     sudo ./lab run why-slower --set topology=two-paths --set rate='50 Mbit/s,5 Mbit/s' --set size='300 kB'
#     ./lab notebooks why-slower
