"""Worlds at random: ``python -m tests.fuzz.worlds [--heavy] FIRST COUNT`` runs so many seeds and prints what fails.

A world is two stacks with settings drawn at random, on paths that reorder, copy, corrupt, lose and go dark, with
addresses that come and go, path managers that are given any order at any time, and applications that write, read, end,
close and abort as they please. Checked are the bytes, the ends and the errors that applications see against a model
of what they did, what a stack may hold at any time, and that nothing is left in the end. ``--trace SEED`` prints
the packets of one world as well.
"""

import argparse
import time
import traceback
from collections import Counter

from mptcp_stack.sim.trace import describe_packet
from tests.fuzz.worlds.world import World


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--heavy", action="store_true", help="MPTCP alone, more data, numbers about to wrap")
    parser.add_argument("--trace", action="store_true", help="print the packets of what fails, and where it failed")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    failed, packets, taken, counts = 0, 0, 0, Counter[str]()
    begin = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.count):
        world = World(seed, arguments.heavy)
        try:
            world.run()
        except Exception as error:
            failed += 1
            what = str(error).partition("\n")[0]
            place = traceback.extract_tb(error.__traceback__)[-1]
            print(f"{seed} {world.climate}: {type(error).__name__}: {what} ({place.name})", flush=True)
            if arguments.trace:
                traceback.print_exc()
                print_packets(world)
        packets += len(world.network.trace)
        taken += sum(actor.taken for actor in world.actors)
        counts += world.counts
    print(
        f"{arguments.count - failed} of {arguments.count} worlds hold, {packets} packets, {taken} bytes read,"
        f" {time.monotonic() - begin:.0f} s; {dict(counts)}"
    )
    return failed > 0


def print_packets(world: World) -> None:
    for record in world.network.trace:
        print(f"{record.time_ns / 1e9:.6f} {record.host} {describe_packet(record.packet)}")


if __name__ == "__main__":
    raise SystemExit(main())
