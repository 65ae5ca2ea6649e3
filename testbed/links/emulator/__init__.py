"""Links in user space: one process that carries the frames of all links with an `emulator` wire.

It reads frames from one end of each wire and writes them to the other when they are due: no timer a packet, since what
a link does is known when a packet enters it (`direction`). The hosts' edges have split super-segments before, so that
every draw of loss and every byte of a queue counts packets of the wire; a super-segment that comes all the same is
refused and counted.

    direction   what one direction of a link does to a frame: pure arithmetic and seeded dice, no input or output
    port        a packet socket on one end of a wire
    process     the loop over ports, due frames and commands (`python -m testbed.links.emulator`)
    control     the lab's side: starts the process, seeds it, reads its counters, ends it
"""
