"""`python -m experiments.receive_algorithms FILE REPLAYS`: what the arrivals in a file cost; see `replay`."""

import sys

from experiments.receive_algorithms.replay import main

if __name__ == "__main__":
    main(*sys.argv[1:])
