"""Experiments: one file each, or a package with what it needs beside it, found by name (`my_idea` is `my-idea`).

Rules:

- What stands at the top of a file is the method, as the report has it: what is measured, how, and whom it repeats.
- Parameters have their values at each scale, and a line of help each; what a point differs by is a factor.
- A result is JSON, with units in its names. It counts only with its checks: payloads, fallbacks, links, stacks
  (`Experiment.checks`).
- An experiment stands by itself, unless it is a variation of another one, as `quickstart` is of `ab_microflows`.

How it works: `testbed.runs` asks the class for its points (`points`), builds a lab for those that share stack and
topology, and has each measured (`run_point`) with a `Bench`: the lab, the stack, a directory, a seed. Most of them hand
a load to a measuring function (`testbed.stacks.measure`, `frames`, `exchange`, `setup`) and add what they computed from
its raw files. `analysis/figures/` has the module that draws the results.
"""
