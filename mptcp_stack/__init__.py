"""A TCP and Multipath TCP (RFC 8684) stack in Python.

It is sans-IO up to the devices in `phy` and the application faces in `runtime`.
Imports only go down this list: wire, storage, congestion, tcp, mptcp, stack, phy and sim, runtime.
"""
