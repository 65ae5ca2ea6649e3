# %% [markdown]
# # Goodput over a link that loses packets
#
# ## What was reported
#
# Mathis, Semke, Mahdavi and Ott, "The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm" (CCR 1997):
# with random losses of probability p, Reno gets about 1.22 MSS / (RTT sqrt(p)). The talk's WiFi and 3G lose packets
# that way, so a stack whose loss recovery is weak would look bad in every figure with such a link, for reasons that
# are not Multipath TCP's. Here plain TCP of both stacks meets the same losses.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import lossy_link

run = notebooks.open_run("lossy-link", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
rates = lossy_link.summary(run)
ours = rates[~rates["stack"].str.startswith("kernel")].dropna(subset=["over_kernel"])
notebooks.say(
    *(
        f"{row.loss:.1%} lost: `{row.stack}` gets {row.over_kernel:.2f} of kernel TCP's goodput under the same control,"
        f" and {row.mean / row.bound:.2f} of the bound (n = {row.n})."
        for row in ours.itertuples()
    )
)

# %% [markdown]
# ## Why they differ
#
# - The formula leaves out timeouts. From some per cent of loss on, windows are so small that recovery needs one now
#   and then, and every stack is below the bound. At low loss a stack may be above it: modern recovery (RACK-TLP,
#   proportional rate reduction) keeps more of a window than the 1997 model has.
# - CUBIC is not Reno; its line is compared with the kernel's CUBIC, not with the bound.
# - Losses are dice with a seed, the same for all stacks of a repetition, and so is nearly all of what spreads from one
#   repetition to the next: a transfer of seconds at 1 % is decided by a few dozen losses. The table's interval is
#   that of the ratios, pair by pair, and much narrower than what the rates themselves spread over.
# - Python turns a packet round later than the kernel, by a fraction of a millisecond. At a round trip of 20 ms that
#   is a per cent or two; why Reno is further behind at 3 % is not known yet.
#
# ## What to try next
#
# Twice the delay should halve every goodput that losses limit:
#
#     sudo ./lab run lossy-link --set delay="20 ms" --set seconds=10
#     ./lab notebooks lossy-link
