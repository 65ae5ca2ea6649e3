# %% [markdown]
# # The delay of what an application writes
#
# ## What was reported
#
# Raiciu and others, "How Hard Can It Be? Designing and Implementing a Deployable Multipath TCP" (NSDI 2012), section
# 4: an application writes blocks of 8 kB as fast as it can over WiFi and 3G with buffers of 200 kB. The longest delays
# of MPTCP without mechanisms go away with retransmission (1) and penalisation (2), and are below those of TCP over 3G.
#
# ## How it was measured

# %% tags=["parameters"]
results = None  # a directory of runs, such as "results"; None: the results kept with the project

# %%
from analysis import figures, notebooks
from analysis.figures import app_latency
from analysis.figures.receive_buffer import line

run = notebooks.open_run("app-latency", results)
notebooks.about(run)

# %% [markdown]
# ## What was measured

# %%
figures.table(run)

# %%
notebooks.figure(run)

# %%
notebooks.latencies(run)

# %%
delays = app_latency.summary(run)
median, largest = app_latency.METRICS[0], app_latency.METRICS[-1]
notebooks.say(
    *(
        f"{row['buffer_kb']:g} kB, {line(run, row['stack'], row['path']).label}: half of the blocks within "
        f"{row[median]:.0f} ms, all within {row[largest]:.0f} ms."
        for row in delays.to_dict("records")
    )
)

# %% [markdown]
# ## Why they differ
#
# - A block waits for all that was written before it: the floor is the send buffer over the goodput, whatever the stack.
# - Our buffer is a number of bytes and is always full here. The kernel's bounds are memory and upper limits: it tunes
#   below them, so that with large buffers its TCP may hold less than the size says.
# - Where buffers are small our scheduler waits for WiFi while only its pace holds it up (see `receive-buffer`), so
#   that there is less of a tail to cut than the paper had.
# - Our buffers that tune themselves begin with 128 KiB and grow with the windows, and the cap keeps the 3G queue short.
#
# ## What to try next
#
# Smaller buffers, down to the delay of the path:
#
#     sudo ./lab run app-latency --set buffers_kb=50,100
