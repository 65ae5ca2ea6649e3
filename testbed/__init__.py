"""The laboratory: topologies become labs in a private namespace, stacks are measured in them, results are kept.

Rules:

- Rooms import downwards only, in this order (a contract in pyproject.toml holds it):

      cli                            commands
      interop                        our stack and the kernel's, feature by feature; `checks`, `doctor` are as high
      runs                           points measured, results kept
      experiment                     what a user writes
      stacks                         what is under test, and how a load on it is measured
      lab                            a running topology; Mininet
      collectors, show               what is watched meanwhile; what people are shown
      calibrate                      links measured
      links                          what carries packets
      host                           namespaces, programs, kernel settings
      spec, loadgen, placement       what is asked for; programs that make load; which cores
      middleboxes                    what changes packets on a link
      input, `units`, `errors`       what users write, taken in; what every room and users' classes use

- Whatever is made lives in the run's own namespace and ends with it; what is the machine's is put back (`host`).
- What the system was told is read back or measured. What it cannot do is refused (`Unsupported`), never left out.
- What a user can act on is a `LabError`: one line and an exit code.

How a run goes: a command makes a `Plan` of an experiment (`runs`), which needs no root, and enters the namespace. The
`Runner` opens a `Lab` for each stack and topology in turn, has its links calibrated and its hosts prepared by the stack
under test, and gives the experiment one point after the other to measure. The experiment has a function of `stacks` run
programs of `loadgen` in the hosts, with collectors around them; what comes back is judged and written.
"""
