"""Runs of experiments: points measured, results kept with what they came from.

Rules:

- Whatever stands under its final name is whole, and nothing that was measured is deleted: what is measured anew is put
  aside (`failed/`, `stale/`, or the whole run as HASH.1).
- A point that passed is not measured again as long as the code that it was measured with is here, byte by byte.
- One run writes to a directory at a time; it holds the directory's lock.

How it works: a `Plan` says which points there are and which are missing; it only reads, and needs no root. The `Runner`
owns everything while it measures: the lock, then a lab for each stack and topology (neighbouring points share it), then
a point's unfinished directory. They end in the opposite order, also at Ctrl-C: the point that was being measured is
lost, those before are kept. Table and manifest are written anew after every point, from the points' own records.

    runner      `Plan`, `Runner`
    results     the run directory
    formats     what is written in it, as models and JSON schemas
    code        the code that a point is measured with
    provenance  machine, kernel, versions
"""
