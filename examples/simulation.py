"""The whole stack in memory: pages over two paths, without root, devices or waiting.

A phone with WiFi (20 Mbit/s, 10 ms one way, 0.1 % loss) and a mobile network (10 Mbit/s, 40 ms) asks a server with one
address for 50 pages of 100 kB, one after the other, over one connection. Each argument is a setting of both stacks, as
for `--set` elsewhere, or several joined by `+`.

    .venv/bin/python -m examples.simulation mptcp=off mptcp=on scheduler=ecf+congestion=cubic

prints, the same each time, as time is virtual and chance comes from a seed:

    mptcp=off                                                  3.31 s, WiFi 5.2 MB, mobile 0.0 MB
    mptcp=on                                                   4.28 s, WiFi 3.2 MB, mobile 2.1 MB
    scheduler=ecf+congestion=cubic                             3.22 s, WiFi 5.3 MB, mobile 0.0 MB

With the default scheduler a second path costs time here: each page waits for its last bytes on the slow one.
"""

import sys
from ipaddress import ip_address

from mptcp_stack.runtime import parse_settings
from mptcp_stack.sim import MILLISECOND, SECOND, Application, LinkSpec, Network, pattern
from mptcp_stack.stack import LocalAddress, StackConfig
from mptcp_stack.tcp import Address

PHONE = {
    "10.0.1.1": LinkSpec(rate_bps=20_000_000, delay_ns=10 * MILLISECOND, queue_bytes=100_000, loss=0.001),
    "10.0.2.1": LinkSpec(rate_bps=10_000_000, delay_ns=40 * MILLISECOND, queue_bytes=200_000),
}
SERVER = "10.1.0.1"
PAGE = pattern(100_000)
PAGES = 50


class Reader(Application):
    """Asks for a page by one byte, for the next when all of it is there, and closes after the last."""

    def on_connected(self):
        self.write(b"?")

    def on_data(self, data):
        pages, rest = divmod(len(self.received), len(PAGE))
        if pages == PAGES:
            self.finish(self.connection.close)
        elif rest == 0:
            self.write(b"?")


class Pages(Application):
    """Answers each byte with a page."""

    def on_data(self, data):
        self.write(PAGE * len(data))


def read(settings):
    """Read all pages with these settings of both stacks; return the seconds, and the bytes of each path down."""
    network = Network(seed=1)

    def add_host(name, addresses):
        local = tuple(LocalAddress(ip_address(address).packed, gateway=True) for address in addresses)
        return network.add_host(name, StackConfig(addresses=local, **settings))

    phone, server = add_host("phone", PHONE), add_host("server", [SERVER])
    there = ip_address(SERVER).packed
    paths = [network.add_path(ip_address(here).packed, there, link) for here, link in PHONE.items()]
    server.listen(Address(b"", 80), Pages)
    phone.connect(Address(there, 80), reader := Reader())
    network.run_until(lambda: reader.closed, 600 * SECOND)
    assert reader.received == PAGE * PAGES
    return network.clock.now_ns / SECOND, [down.counters.carried_bytes for _, down in paths]


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["mptcp=on"]:
        seconds, carried = read(parse_settings(argument.split("+")))
        print(f"{argument:<57} {seconds:5.2f} s, WiFi {carried[0] / 1e6:.1f} MB, mobile {carried[1] / 1e6:.1f} MB")
