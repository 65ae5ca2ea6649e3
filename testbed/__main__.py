"""The command line, as `python -m testbed`; the launcher `lab` starts it."""

from testbed.cli import main

if __name__ == "__main__":
    main()
