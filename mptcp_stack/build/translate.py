"""From Python to C, by mypyc: a program of its own, which has the stack's sources as text alone.

    python translate.py FOLDER LIBRARY FILE...

It writes C files below FOLDER, and there `library.json`: of which the library is made, and where their headers are.
What is wrong with the sources goes to standard output, with exit code 1.
"""

import json
import os
import sys
from pathlib import Path

import setuptools  # noqa: F401  mypyc takes its part of it only when it is there before
from mypyc.build import mypycify

# Only what C needs: the project's rules for types are for `./lab test`. What the files import is read for its types.
_OPTIONS = ("--config-file=", "--follow-imports=silent", "--ignore-missing-imports")


def main(folder: str, library: str, *files: str) -> None:
    """Translate `files`, named by their path from here, which is where the package is."""
    group = library.removesuffix("__mypyc")
    made, *_ = mypycify([*_OPTIONS, *files], target_dir=folder, group_name=group, multi_file=True)
    needs = {
        "headers": [path for path in made.include_dirs if path != folder],
        "sources": [os.path.relpath(path, folder) for path in made.sources],
    }
    Path(folder, "library.json").write_text(json.dumps(needs))


if __name__ == "__main__":
    main(*sys.argv[1:])
