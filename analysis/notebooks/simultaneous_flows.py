# %% [markdown]
# # One transfer over two paths at once
#
# ## What was reported
#
# The Linux kernel's own tests have this one (`tools/testing/selftests/net/mptcp/simult_flows.sh`): 16 MB over two
# paths of given rates and delays, in each direction, must not take longer than the sum of the rates would need for
# it, plus 11 % for headers and 450 ms for handshakes. The test knows pass and fail; here the times are shown.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import simultaneous_flows

run = notebooks.open_run("simultaneous-flows", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
times = simultaneous_flows.summary(run)
used = times["mean"] / times["limit_s"]
worst = times.loc[used.idxmax()]
notebooks.say(
    *(
        f"`{stack}` needed {used[times['stack'] == stack].mean():.0%} of the time allowed on average,"
        f" {used[times['stack'] == stack].max():.0%} at most."
        for stack in run.stacks
    ),
    f"Longest against its bound: `{worst['stack']}`, {worst['case']} (rates : delays), {worst['direction']}.",
)

# %% [markdown]
# ## Why they differ
#
# - The kernel's script shapes with netem, which also delays. Our links are netem where the kernel has it, else an
#   emulator in user space; both are calibrated before a run, and the queue of 1000 packets is that of netem's
#   default.
# - The allowed time is an upper bound with a reserve. What stays below it by little is worth a look: at the end of a
#   transfer the slow path still has a queue to drain, which no scheduler can take back.
# - Our stack tests the same bound in its simulator, without a machine's pace in it.
#
# ## What to try next
#
# A longer transfer makes handshakes and slow start less of the whole, a shorter one more:
#
#     sudo ./lab run simultaneous-flows --set size="4 MB"
#     ./lab notebooks simultaneous-flows
