"""From run directories to tables, figures and documents: reads result files only, never the testbed.

Rules:

- Results may be anybody's: they are read through `files` and held to their `formats`. What is wrong with them is an
  `AnalysisError`, one line that names the file.
- A run directory is only read. What is made of it goes elsewhere, and the same results give the same figure, byte by
  byte.
- A number is computed in one place, the figure's module: table, notebook and document take it from there.
- Figures show points that passed; which did not, and why, stands beside them. On which networks, of which code, with
  which build of our stack and where a run was measured is said in its own words (`networks`, `code`, `builds`,
  `origin`).

How it works: `load` makes a `Run` of a directory, whose table is a pandas frame, a row a point. The manifest names a
module of `figures`, which says what of it is shown, as a picture and as a table; how it is drawn and written is in
`panels`, `style` and `tables`. Raw files are read when they are asked for, from the directory of their point.

    load, files, formats, errors        run directories and what is wrong with them
    metrics, emodel                     repetitions to mean and spread, delays to the quality of a call
    figures/, panels, style, tables     pictures and tables of a run
    distributions                       every request and frame of a run
    collected/                          what collectors left, a parser for each
    capture, capture_file, sequences/   captures, and MPTCP connections in them over time
    compare                             one run with another
    report/, documents, notebooks/      texts around figures
"""
