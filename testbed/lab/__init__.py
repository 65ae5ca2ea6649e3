"""The running lab: hosts and links of a topology, made real by Mininet. Only this room imports it."""

from testbed.lab.lab import Lab

__all__ = ["Lab"]
