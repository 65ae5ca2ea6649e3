"""Placement: which cores run a measurement's programs and its packets, set, verified, recorded and put back."""

from testbed.placement.spec import ANYWHERE, Placement

__all__ = ["ANYWHERE", "Placement"]
