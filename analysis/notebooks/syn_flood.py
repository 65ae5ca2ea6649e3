# %% [markdown]
# # Requests beside a SYN flood
#
# ## What was reported
#
# The talk names SYN cookies among the next steps, without numbers. RFC 4987 describes the attack and the remedy; its
# section 3.6 warns that cookies lose TCP options. In MPTCP the client repeats both keys with the third ACK (RFC 8684,
# section 3.1), so that a server can keep nothing until then and still make an MPTCP connection.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import syn_flood

run = notebooks.open_run("syn-flood", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
found = syn_flood.summary(run)
strongest = found.sort_values("flood_rate_per_s").groupby("stack", sort=False).tail(1)
notebooks.say(
    *(
        f"`{row.stack}`: {row.mean:.0%} of the requests were served beside {row.flood_rate_per_s:,.0f} SYNs a second,"
        f" of which {row.heard_share:.0%} reached the stack."
        for row in strongest.itertuples()
    )
)

# %% [markdown]
# ## Why they differ
#
# - Without cookies Linux refuses new handshakes while its table is full: nearly nobody gets in. Our stack forgets the
#   handshake that has waited longest when that is more than half a second: honest clients get in as long as the table
#   is not turned over faster than they answer.
# - With cookies both serve everybody whom they have the processor time to hear. A SYN and its answer take Python tens
#   of microseconds, with MP_CAPABLE about twice as long: keys are hashes. Beyond that SYNs wait in the queue before the
#   stack, honest ones among them, and the time to an answer grows until clients give up.
# - Cookies need not cost MPTCP: the column MPTCP% says how many of the connections that were served were no plain TCP.
# - Attacker, routers and both ends share the processors here. With machines of their own all lines would end later, the
#   kernel's most of all: rates at which it stops serving cannot be made on this machine.
#
# ## What to try next
#
# Plain SYNs instead of such with MP_CAPABLE, to see what the keys cost:
#
#     sudo ./lab run syn-flood --stacks python-mptcp --set syns=plain,mp-capable --set floods=0,2000,5000,10000
#     ./lab notebooks syn-flood
