"""Links: what carries packets between two hosts.

A link that does nothing to packets is one veth pair, host to host. Any other is two pairs with a *wire* in between,
in the run's own namespace, that passes frames from one side to the other:

    client-eth1 ==veth== path1-a <-wire-> path1-b ==veth== server-eth1

The wire is the kernel's (`tc`: frames redirected, rate and queue by a token bucket filter, delay and loss by netem
where the kernel has it) or one process for all links in user space (`testbed.links.emulator`: all a link may ask for).

The hosts' interfaces split super-segments (TSO and GSO off), so the shaper at the far end of the wire sees only
single packets of at most the MTU, as a bottleneck in a network does. Behind the kernel's shapers the receiving
interface merges again (GRO) what comes while it is busy, as a network card's driver does; the emulator's packets come
one by one. A shaper on the sender's own interface would be simpler, but it queues up to 64 KB as one packet (HTB), and
its drops are told to the local TCP directly, which then slows down without any loss on the wire.

Rules: a link is as it asks to be, or is refused, or is moved to the emulator and recorded so (`backends`). The lab owns
its links; the emulator ends with its standard input, thus also with a lab that was killed. Its process never imports
`testbed.spec`, for which every lab would wait.

    backends   which links this kernel can realise
    cable      one link set up and read back; `shaping` and `offloads` are its parts
    emulator/  links in user space
    bond       all paths as one device
    plugs      links taken down and up by hand
    blast, probe    programs that a calibration runs in hosts
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the emulator's process shall start without what only validates specifications
    from testbed.spec import Link


def wire_ends(link: Link) -> tuple[str, str]:
    """The interfaces of a link's wire, in the order of the link's own ends.

    What leaves by the first goes to the link's first end.
    """
    return f"{link.name}-a", f"{link.name}-b"
