"""What a lab is made of: hosts and links, validated and frozen (`Topology`)."""

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
