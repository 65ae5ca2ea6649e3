"""Our stack and the running kernel's, feature by feature: what each side does, and what must come of it.

A feature is one `Scenario` in a file of `features`; `run` plays each in both roles and over IPv4, IPv6 and both, and
judges it by what the applications got, both sides' counters, and tshark's reading of the packets.

Rule: a cell has a lab of its own in a process of its own with a network of its own, so several are played at once.
What it leaves (`play`) is judged by `judge` alone, which starts nothing.
"""
