"""TCP underneath: options refused, losses, small packets."""

from testbed.interop.checks import KERNEL, OURS, Count, TcpSeen
from testbed.interop.features.steps import AFTER_JOIN, CONNECTED, JOINED
from testbed.interop.scenario import Scenario
from testbed.stacks.base import CLIENT, SERVER

NETWORKS = {
    "router-eth1": ("10.0.1.0/24", "fd00:0:1::/64"),
    "router-eth3": ("10.1.1.0/24", "fd00:1:1::/64"),
}


SACK = "tcp.options.sack.count"
NO_SACK = tuple(TcpSeen(side, SACK, 0, 0) for side in (OURS, KERNEL))


SCENARIOS = (
    Scenario(
        name="loss",
        title="Packets lost in both directions: SACK, recovery",
        section="RFC 2018, RFC 8985",
        second={CLIENT: "subflow"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        rules=("meta length > 1000 numgen inc mod 50 == 20 drop",),
        checks=(
            *JOINED,
            TcpSeen(OURS, SACK),
            TcpSeen(KERNEL, SACK),
            Count(KERNEL, "TcpRetransSegs"),
        ),
    ),
    Scenario(
        name="ecn",
        title="ECN: agreed, marks of the router answered",
        section="RFC 3168",
        kernel={"net.ipv4.tcp_ecn": "1"},
        ours=("ecn=on",),
        rules=tuple(f"{ip} ecn ect0 numgen inc mod 50 == 20 {ip} ecn set ce" for ip in ("ip", "ip6")),
        checks=(
            *CONNECTED,
            TcpSeen(OURS, "tcp.flags.cwr"),
            TcpSeen(KERNEL, "tcp.flags.cwr"),
            TcpSeen(OURS, "tcp.flags.ece"),
            TcpSeen(KERNEL, "tcp.flags.ece"),
        ),
    ),
    Scenario(
        name="no-timestamps",
        title="The kernel without timestamps",
        section="RFC 7323",
        kernel={"net.ipv4.tcp_timestamps": "0"},
        second={CLIENT: "subflow"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=(*CONNECTED, *JOINED),
    ),
    Scenario(
        name="no-window-scale",
        title="The kernel without window scaling",
        section="RFC 7323",
        kernel={"net.ipv4.tcp_window_scaling": "0"},
        checks=CONNECTED,
    ),
    Scenario(
        name="no-sack",
        title="The kernel without SACK, packets lost",
        section="RFC 9293",
        kernel={"net.ipv4.tcp_sack": "0"},
        rules=("meta length > 1000 numgen inc mod 50 == 20 drop",),
        checks=(*CONNECTED, *NO_SACK),
    ),
    Scenario(
        name="no-options",
        title="We offer neither timestamps nor SACK",
        section="RFC 9293",
        ours=("timestamps=false", "sack=false"),
        checks=(*CONNECTED, *NO_SACK),
    ),
    Scenario(
        name="small-mtu",
        title="A router passes 1300 bytes: path MTU discovery",
        section="RFC 1191, RFC 8201",
        router=tuple(
            f"ip route replace {network} dev {device} proto kernel {'metric 256' if ':' in network else 'scope link'}"
            " mtu lock 1300"
            for device, networks in NETWORKS.items()
            for network in networks
        ),
        checks=CONNECTED,
    ),
)  # fmt: skip
