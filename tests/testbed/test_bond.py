"""The bond with the kernel's driver, which not every kernel has: what it would tell the system, in which order."""

from types import SimpleNamespace

import pytest

from testbed.errors import LabError
from testbed.links import bond
from testbed.spec.templates import load_topology


class RecordedHost:
    """A host that only notes what it is told."""

    def __init__(self, name, interfaces, refuses=""):
        self.name, self.interfaces, self.told, self._refuses = name, interfaces, [], refuses

    def run(self, argv, *, check=True, input=""):
        self.told += input.splitlines() or [" ".join(argv)]
        if self._refuses and self._refuses in self.told[-1]:
            raise LabError(f"{self.name}: refused")
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    def configure_addresses(self):
        self.told.append("addresses")


@pytest.fixture
def hosts(monkeypatch):
    monkeypatch.setattr(bond, "has_driver", lambda: True)
    monkeypatch.setattr(bond, "set_offloads", lambda host, device, wire: host.told.append(f"offloads {device} {wire}"))
    return {name: RecordedHost(name, [f"{name}-eth1", f"{name}-eth2"]) for name in ("client", "server")}


def test_the_driver_takes_the_paths_over_and_gives_them_back(hosts):
    made = bond.Bond(load_topology("two-paths"), hosts)
    assert made.describe()["kind"] == "bonding"
    assert made.describe()["mode"] == "balance-rr"
    assert hosts["client"].told == [
        "link add bond0 address 02:00:00:00:64:01 type bond mode balance-rr miimon 100",
        "link set client-eth1 down",
        "address flush dev client-eth1",
        "link set client-eth1 master bond0",
        "link set client-eth1 up",
        "link set client-eth2 down",
        "address flush dev client-eth2",
        "link set client-eth2 master bond0",
        "link set client-eth2 up",
        "link set bond0 up",
        "ip address add 10.0.100.1/24 dev bond0",
        "ip neighbour replace 10.0.100.2 lladdr 02:00:00:00:64:02 dev bond0 nud permanent",
        "offloads bond0 mtu",
    ]
    hosts["server"].told.clear()
    made.remove()
    assert hosts["server"].told == ["nft delete table netdev bond0", "ip link delete bond0", "addresses"]


def test_what_is_half_built_is_taken_down(hosts):
    hosts["server"] = RecordedHost("server", ["server-eth1"], refuses="link set bond0 up")
    with pytest.raises(LabError, match="refused"):
        bond.Bond(load_topology("two-paths", {"paths": 1}), hosts)
    assert hosts["client"].told[-2:] == ["ip link delete bond0", "addresses"]


def test_without_the_driver_nft_takes_turns(hosts, monkeypatch):
    monkeypatch.setattr(bond, "has_driver", lambda: False)
    assert bond.Bond(load_topology("two-paths"), hosts).describe()["kind"] == "nft"
    rules = "\n".join(hosts["client"].told)
    assert "fwd to numgen inc mod 2 map { 0 : client-eth1, 1 : client-eth2 };" in rules
    assert "device client-eth2 priority 0; policy accept; ether daddr 02:00:00:00:64:01 fwd to bond0p;" in rules
