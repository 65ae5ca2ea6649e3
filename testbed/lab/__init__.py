"""The running lab: hosts and links of a topology, made real by Mininet.

Rules:

- Only this room imports Mininet.
- A lab lives in a `with` block, after `host.namespace.enter()`, one at a time in a process; others are in processes
  with networks of their own (`namespace.use_own_network`).
- It is as its topology says, or entering raises: `Unsupported` before anything was started, `LabError` after, when what
  was started has been ended.
- Its methods are called from the thread that opened it: the emulator is asked one thing at a time.

How it works: `Lab` owns the backend (hosts and cables), the emulator's process, and the bond if there is one. Entering
makes hosts and cables, then sets up hosts (settings, addresses, routes) and links, then starts the emulator. Leaving
ends the emulator, then the programs in the hosts, then the hosts with their interfaces, then what is left of links.

    lab              `Lab`
    mininet_backend  hosts and cables; the kernel settings of every host
    mininet_prompt   the prompt of `./lab shell`
"""

from testbed.lab.lab import Lab

__all__ = ["Lab"]
