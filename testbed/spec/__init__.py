"""What a lab is made of: hosts and links, validated and frozen (`Topology`).

Rules:

- What is here has been checked as a whole, is never changed, and knows nothing of what runs.
- Whether this machine can do it is not decided here: `ABILITIES` (`links`) says what each way to carry packets can, and
  what of the kernel it needs; `testbed.links.backends` asks the kernel.

    topology, hosts, links, impairments, schedule, trace    the models
    templates    topologies/NAME.yaml.j2 and parameters to a `Topology`
    routing      ways through it: routes of routers, pairs of addresses that reach each other

A new impairment is a field of `Impairments`, a word in `ABILITIES`, what the emulator does about it
(`testbed/links/emulator/direction.py`), and a word or two in `testbed/show/labels.py`.
"""

from testbed.spec.hosts import End, Host, Place
from testbed.spec.impairments import BurstLoss, Changes, Impairments, Queue
from testbed.spec.links import ABILITIES, Link, LinkKind, Tolerance, Wire
from testbed.spec.schedule import Change, Moment
from testbed.spec.topology import Topology
from testbed.spec.trace import Trace

__all__ = [
    "ABILITIES",
    "BurstLoss",
    "Change",
    "Changes",
    "End",
    "Host",
    "Impairments",
    "Link",
    "LinkKind",
    "Moment",
    "Place",
    "Queue",
    "Tolerance",
    "Topology",
    "Trace",
    "Wire",
]
