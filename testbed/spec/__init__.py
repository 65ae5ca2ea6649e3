"""What a lab is made of: hosts and links, validated and frozen (`Topology`)."""

from testbed.spec.hosts import End, Host, Place
from testbed.spec.links import BurstLoss, Impairments, Link, Wire
from testbed.spec.topology import Topology

__all__ = ["BurstLoss", "End", "Host", "Impairments", "Link", "Place", "Topology", "Wire"]
