"""`python -m testbed.links.emulator`: carries frames until its standard input ends; see `process`."""

from testbed.links.emulator.process import main

if __name__ == "__main__":
    main()
