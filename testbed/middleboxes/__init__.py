"""Middleboxes: what changes, delays, drops or makes up packets on a link, as devices in networks do.

Rules:

- A middlebox is one class in one file of `boxes`, or a user's own (`module:Class`). It does no input or output: it is
  given packets and the time, and returns what goes on, and in which direction.
- It is deterministic: time is an argument (integer nanoseconds) and never goes back, dice are seeded by the emulator.
- A packet is a value. What is handed on as it came keeps its very bytes; what was changed has its checksums made anew.
- What comes in and does not go on as it was is counted: changed, dropped, injected.

How it works. A link with middleboxes is carried by the emulator, in whose process they live. They stand at the link's
first end:

    first end == box 1 = box 2 = ... == rate, queue, delay, loss == second end

so that what comes from the first end meets them before the link, what goes there after it. The emulator owns the
`Chain`, gives it frames, and wakes it at its `deadline_ns`; the chain gives each packet that comes out of a middlebox
to the next one, until it leaves at either end. Middleboxes that are set while a lab runs are new ones, without memory.

    base           what a middlebox is: `Middlebox`, its parameters and counters; state by connection: `Flows`
    packet         frames to values and back
    chain          the middleboxes of one link, one after the other
    registry       found by name, parameters validated
    choice         parameters that several share: which options, which packets
    acknowledging  what those share that acknowledge in the receiver's place
    boxes/         strip_option.py is `strip-option`; a file dropped there is all the registration there is
"""

FORWARD, BACKWARD = 0, 1
"""Directions of a link: from its first end to its second, and back."""
