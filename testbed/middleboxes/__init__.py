"""Middleboxes: what changes, delays, drops or makes up packets on a link, as devices in networks do.

A link with middleboxes is carried by the emulator. They stand at its first end:

    first end == box 1 = box 2 = ... == rate, queue, delay, loss == second end

so that what comes from the first end meets them before the link, what goes there after it. Each is one class in one
file of `boxes`, or a user's own (`module:Class`):

    packet     frames to values and back, checksums made anew
    base       what a middlebox is: `Middlebox`, its parameters and counters; state by connection: `Flows`
    chain      the middleboxes of one link, one after the other
    registry   found by name, parameters validated
    boxes/     strip_option.py is `strip-option`; a file dropped there is all the registration there is

They are deterministic: time is an argument (integer nanoseconds), dice are seeded by the emulator.
"""

FORWARD, BACKWARD = 0, 1
"""Directions of a link: from its first end to its second, and back."""
