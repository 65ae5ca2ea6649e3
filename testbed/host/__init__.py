"""Hosts and what they live in: the private namespace of a run, programs, kernel settings.

Rules:

- `namespace.enter()` comes first, early, in a process without other threads; it forks.
- A program in a host is started by its `Host`; one that a measurement waits for by `process.running`.
- A setting is read back when it is set. Those of a host end with it. Those of the machine are changed through
  `namespace.current().machine` alone: a guardian outside puts them back, also when the run is killed.

How it works: a `Host` is a handle on a shell in a network namespace, which the lab's backend owns; `pid` raises when
that is gone. A program of a block ends with the block, all others when the lab stops, and whatever escaped with the
run's namespace. Short questions to a host's kernel are asked without a program, by the calling thread, which is moved
there for a moment (`netns`).

    namespace, netns            the run's own; another one for a moment
    hosts, process, commands    a host; programs that are watched; short commands, in this process's namespace
    sysctls                     settings of hosts, and of the machine with their ledger
    congestion, kernel_mptcp    two things that are set up in several hosts at once
"""
