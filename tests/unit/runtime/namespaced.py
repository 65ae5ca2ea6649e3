"""Checks that need a network namespace of their own; test_host.py starts this file in one, with a check's name."""

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

import pytest

from mptcp_stack.phy import Tun
from mptcp_stack.runtime import ConfigError, EventLoop, HostNetwork, NetworkConfig, run
from mptcp_stack.runtime.host import kernel_router
from mptcp_stack.wire import ACK, Checksum, Options, Packet, Segment, decode, encode

ADDRESS, ADDRESS_6 = "10.0.1.101", "fd00:1::101"
PEER, PEER_6 = "10.0.1.2", "fd00:1::2"


def shell(command: str) -> str:
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def make_peer() -> subprocess.Popen[bytes]:
    """A host behind a veth pair e1 - e2, with IPv4 and IPv6 on both ends; give its commands to `nsenter`."""
    peer = subprocess.Popen(["unshare", "--net", "--kill-child", "sleep", "60"])
    while Path(f"/proc/{peer.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
        time.sleep(0.01)
    shell(
        "ip link add e1 type veth peer name e2; sysctl -qw net.ipv6.conf.e1.accept_dad=0;"
        "ip addr add 10.0.1.1/24 dev e1; ip addr add fd00:1::1/64 dev e1; ip link set e1 up;"
        f"ip link set e2 netns {peer.pid};"
        f"nsenter -t {peer.pid} -n sh -c 'sysctl -qw net.ipv6.conf.e2.accept_dad=0;"
        f"ip addr add {PEER}/24 dev e2; ip addr add {PEER_6}/64 dev e2; ip link set e2 up; ip link set lo up'"
    )
    return peer


def snapshot() -> str:
    """Everything that HostNetwork changes."""
    return shell(
        "for family in -4 -6; do ip $family rule; ip $family route show table all | grep -v -e fe80 -e ff00; done;"
        "ip neigh show proxy; ip -br link;"
        "grep -s . /proc/sys/net/ipv[46]/conf/*/* /proc/sys/net/ipv[46]/neigh/*/proxy_delay || true"
    )


def raises(kind: type[Exception], part: str, action: Callable[[], object]) -> None:
    with pytest.raises(kind, match=part) as caught:
        action()
    assert "\n" not in str(caught.value)


def check_tun() -> None:
    """A packet written to one device is routed to the other, super-segments in one piece."""
    # Neither addresses nor groups of its own: nothing but our packets.
    shell("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    shell("sysctl -qw net.ipv6.conf.default.forwarding=0")
    a, b = Tun("a%d"), Tun("b%d")
    assert (a.name, b.name) == ("a0", "b0")
    assert a.capabilities.segmentation_offload
    raises(OSError, "busy", lambda: Tun("a0"))
    assert a.send([Packet([b"interface is down"])]) == 0
    open_a = (
        "ip link set a0 multicast off; ip link set a0 up; ip route add 10.9.0.1 dev a0; ip route add fd09::1 dev a0;"
    )
    open_b = open_a.replace("a0", "b0").replace("9.0.1", "9.0.2").replace("fd09::1", "fd09::2")
    shell(f"{open_a} {open_b} ip link set b0 txqueuelen 100")
    payload = bytes(range(256)) * 250
    parts = [memoryview(payload)[start : start + 40] for start in range(0, len(payload), 40)]
    assert len(parts) > 1024
    cases = {"10.9.0.{}": 40, "fd09::{}": 60}

    def send(form: str) -> None:
        source, destination = (ip_address(form.format(number)).packed for number in (1, 2))
        options = Options(ts_val=1, ts_ecr=2)
        mss = 1500 - cases[form] - 12
        segment = Segment(source, destination, 1, 2, 3, 4, ACK, 5, options, parts, len(payload), mss)
        bare = Segment(source, destination, 1, 2, 9, 4, ACK, 5, Options())
        assert a.send([encode(segment), encode(bare)]) == 2

    for form, headers in cases.items():
        send(form)
        large, small = b.receive(1) + b.receive(10)
        wanted = (len(payload) + headers + 12, 1500 - headers - 12, Checksum.PARTIAL)
        assert (large.length, large.gso_size, large.checksum) == wanted
        assert b"".join(decode(large).payload) == payload
        assert (small.length, small.gso_size, decode(small).seq) == (headers, 0, 9)
        assert b.receive(10) == []
    b.close()
    b = Tun("b%d", receive_offload=False)
    shell(open_b)
    for form in cases:
        send(form)
        packets = b.receive(100)
        assert [packet.length for packet in packets][:2] == [1500, 1500]
        assert b"".join(chunk for packet in packets for chunk in decode(packet).payload) == payload
    a.close()
    a.close()


def check_undone() -> None:
    """Nothing is left of a HostNetwork, in whatever way it ends."""
    peer = make_peer()
    shell("sysctl -qw net.ipv4.conf.all.rp_filter=2")
    before = snapshot()
    addresses = [f"{ADDRESS}/24@e1", "10.0.1.102/24@e1,via=10.0.1.254"]
    addresses += [f"{ADDRESS_6}/64@e1", "fd00:1::102/64@e1,via=fe80::1"]
    config = NetworkConfig(addresses=addresses)
    with HostNetwork(config) as network:
        assert network.tun.name == "mptcp0"
        during = snapshot()
        assert f"from {ADDRESS} iif mptcp0" in during
        assert f"from {ADDRESS_6} iif mptcp0" in during
        assert "default via 10.0.1.254 dev e1 table" in during
        assert "default via fe80::1 dev e1 table" in shell("ip -6 route show table all")
        assert "all/rp_filter:0" in during
        for address in (ADDRESS, ADDRESS_6):
            # The kernel answers ARP and solicitations at once, and forwards.
            shell(f"nsenter -t {peer.pid} -n ping -q -c 1 -W 0.3 {address} || true")
            assert "lladdr" in shell(f"nsenter -t {peer.pid} -n ip neigh show {address}")
            # Nothing but what is for the stack comes to it.
            (packet,) = network.tun.receive(10)
            assert ip_address(address).packed in bytes(packet.parts[0])[:40]
    network.close()
    assert snapshot() == before
    # What was removed by others meanwhile does no harm.
    with HostNetwork(config) as network:
        shell("ip rule del iif mptcp0; ip -6 rule del iif mptcp0; ip neigh flush proxy || true")
    assert snapshot() == before
    # An error in the middle of setting up: the second address has no gateway that answers to its device.
    shell("ip route add 10.7.0.1/32 dev e1")
    with_route = snapshot()
    raises(OSError, "refuses", lambda: HostNetwork(NetworkConfig(addresses=[f"{ADDRESS}/24@e1", "10.7.0.1/24@e1"])))
    assert snapshot() == with_route
    shell("ip route del 10.7.0.1/32 dev e1")

    # Within a running event loop.
    async def main() -> None:
        HostNetwork(config).close()

    asyncio.run(main())
    assert snapshot() == before
    # Rules of a stack that was killed.
    shell(f"ip rule add from {ADDRESS} iif mptcp0 lookup 4444; ip -6 rule add from {ADDRESS_6} iif mptcp0 lookup 4444")
    with HostNetwork(config):
        assert "4444" not in snapshot()
    assert snapshot() == before
    peer.kill()


def check_old_kernel() -> None:
    """Before Linux 6.17 IPv6 is forwarded everywhere or nowhere; all of it is put back."""
    kernel_router._FORCE_FORWARDING = "ipv6/conf/{}/no_such_setting"
    peer = make_peer()
    shell("sysctl -qw net.ipv6.conf.lo.forwarding=1 net.ipv6.conf.e1.accept_ra=1")
    before = snapshot()
    with HostNetwork(NetworkConfig(addresses=[f"{ADDRESS_6}/64@e1"])) as network:
        during = snapshot()
        assert "ipv6/conf/e1/force_forwarding:0" in during or "e1/force_forwarding" not in during
        for setting in ("all/forwarding:1", "e1/forwarding:1", "e1/accept_ra:2"):
            assert f"ipv6/conf/{setting}" in during
        shell(f"nsenter -t {peer.pid} -n ping -q -c 1 -W 0.3 {ADDRESS_6} || true")
        assert len(network.tun.receive(10)) == 1
    assert snapshot() == before
    peer.kill()


async def transfer_while_paths_go(server: str) -> None:
    """To a peer behind e1 and f1, a kernel with MPTCP or our own stack: each path goes once, and comes again.

    That of f1 is not there at the beginning.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, EventLoop)
    reader, writer = await asyncio.open_connection(server, 4000)
    info = writer.get_extra_info
    data = bytes(range(253)) * 40_000

    def paths() -> set[str]:
        return {subflow["local"][0] for subflow in info("mptcp")["subflows"] if subflow["state"] == "ESTABLISHED"}

    async def until(expected: set[str]) -> None:
        async with asyncio.timeout(10):
            while paths() != expected:
                await asyncio.sleep(0.02)

    async def send() -> None:
        for piece in range(0, len(data), len(data) // 8 + 1):
            if piece == len(data) // 8 + 1:
                await until({ADDRESS})
                shell("ip link set f1 up")
                await until({ADDRESS, "10.0.2.101"})
                shell("ip link set e1 down")
                await until({"10.0.2.101"})
            if piece == 2 * (len(data) // 8 + 1):
                shell("ip link set e1 up; ip addr add fd00:1::1/64 dev e1")
                await until({ADDRESS, "10.0.2.101"})
                shell("ip addr del 10.0.2.1/24 dev f1")
                await until({ADDRESS})
            if piece == 3 * (len(data) // 8 + 1):
                shell("ip addr add 10.0.2.1/24 dev f1")
                await until({ADDRESS, "10.0.2.101"})
            writer.write(data[piece : piece + len(data) // 8 + 1])
            await writer.drain()
        writer.write_eof()

    _, answer = await asyncio.gather(send(), reader.read())
    assert answer == data
    assert loop.counters["MPTcpExtRmAddrTx"] == 2
    writer.close()


def check_mobility() -> None:
    """A transfer to a kernel survives that an interface goes down, and that a subnet is taken from one."""
    peer = make_peer()
    shell(
        f"ip link add f1 type veth peer name f2 netns {peer.pid}; ip addr add 10.0.2.1/24 dev f1; ip link set f1 up;"
        f"nsenter -t {peer.pid} -n sh -c 'ip addr add 10.0.2.2/24 dev f2; ip link set f2 up;"
        "ip mptcp limits set subflow 8 add_addr_accepted 8; ip mptcp endpoint add 10.0.2.2 dev f2 signal'"
    )
    before = snapshot()
    inside = ["nsenter", "-t", str(peer.pid), "-n", sys.executable, __file__, "echo_server"]
    echo_server = subprocess.Popen(inside, stdout=subprocess.PIPE)
    assert echo_server.stdout is not None
    echo_server.stdout.readline()
    config = NetworkConfig(addresses=[f"{ADDRESS}/24@e1", "10.0.2.101/24@f1"])
    shell("ip link set f1 down")
    run(asyncio.wait_for(transfer_while_paths_go(PEER), 30), config)
    assert snapshot() == before
    echo_server.kill()
    peer.kill()


def check_echo_server() -> None:
    """A kernel's MPTCP echo for one connection; port 4000."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Every address: the kernel takes joins where a listener is.
    listener.bind(("", 4000))
    listener.listen()
    print("ready", flush=True)
    connection, _ = listener.accept()
    received = bytearray()
    while data := connection.recv(1 << 16):
        received += data
    connection.sendall(received)
    connection.close()


def check_mistakes() -> None:
    """One line each, and nothing is left behind."""
    shell("ip link set lo up; ip link add e1 type veth peer name e2; ip addr add 10.0.1.1/24 dev e1; ip link set e1 up")
    shell("ip link set e2 mtu 1400; sysctl -qw net.ipv6.conf.e1.disable_ipv6=1")
    before = snapshot()
    cases = [
        (ConfigError, "no interface e9; there are e1, e2, lo", ["10.0.1.5/24@e9"]),
        (ConfigError, "the host's kernel has this address itself", ["10.0.1.1/24@e1"]),
        (ConfigError, r"IPv6 is off on e1 \(net.ipv6.conf.e1.disable_ipv6\)", ["10.0.1.5/24@e1", "2001:db8::5/64@e1"]),
        (ConfigError, "the MTU of e2 is 1400, the stack's is 1500", ["10.0.1.5/24@e2"]),
    ]
    for kind, part, addresses in cases:
        raises(kind, part, lambda addresses=addresses: HostNetwork(NetworkConfig(addresses=addresses)))
    raises(OSError, "TUN device lo:", lambda: HostNetwork(NetworkConfig(addresses=["10.0.1.5/24@e1"], tun_name="lo")))
    raises(ConfigError, "scheduler", lambda: EventLoop(NetworkConfig(addresses=["10.0.1.5/24@e1"], scheduler="none")))
    small = NetworkConfig(addresses=["2001:db8::5/64"], mtu=1279)
    raises(ConfigError, "IPv6 needs an MTU of 1280, the stack's is 1279", lambda: HostNetwork(small))
    missing = Path("/nonexistent/file.pcap")
    raises(OSError, "No such file", lambda: EventLoop(NetworkConfig(addresses=["10.0.1.5/24@e1"], pcap=missing)))
    assert snapshot() == before


def check_without_capability() -> None:
    if sys.argv[2:] != ["dropped"]:
        drop = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
        subprocess.run([*drop, sys.executable, __file__, "without_capability", "dropped"], check=True)
        return
    raises(PermissionError, "needs root", lambda: HostNetwork(NetworkConfig(addresses=["10.0.1.5/24"])))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 18):
        writer.write(data)
        await writer.drain()
    writer.close()


async def exchange(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def send() -> None:
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
            await writer.drain()
        writer.write_eof()

    _, answer = await asyncio.gather(send(), reader.read())
    assert answer == data
    writer.close()


async def exchange_with_kernel(data: bytes) -> None:
    """Sockets that are given belong to the kernel; what has an address of the stack to the stack."""
    loop = asyncio.get_running_loop()
    await asyncio.start_server(echo, None, 2000)
    for family, kernels_ip, ip in ((socket.AF_INET, "10.0.1.1", ADDRESS), (socket.AF_INET6, "fd00:1::1", ADDRESS_6)):
        listener, client = socket.socket(family), socket.socket(family)
        for kernels in (listener, client):
            kernels.setblocking(False)
            kernels.bind((kernels_ip, 0))
        await asyncio.start_server(echo, sock=listener)
        await exchange(data, *await asyncio.open_connection(kernels_ip, listener.getsockname()[1]))
        await loop.sock_connect(client, (ip, 2000))
        await exchange(data, *await asyncio.open_connection(sock=client))


def check_with_kernel() -> None:
    """The host's own kernel as the peer, in both roles; every packet of the capture has a good checksum."""
    shell("ip link set lo up; ip addr add 10.0.1.1/24 dev lo; ip addr add fd00:1::1/64 dev lo")
    with tempfile.TemporaryDirectory() as directory:
        pcap = Path(directory) / "check.pcap"
        data = bytes(range(251)) * 10_000
        config = NetworkConfig(addresses=[f"{ADDRESS}/24", f"{ADDRESS_6}/64"], pcap=pcap)
        run(asyncio.wait_for(exchange_with_kernel(data), 20), config)
        assert pcap.stat().st_size > 8 * len(data)
        if shutil.which("tshark"):
            verdicts = shell(
                f"tshark -r {pcap} -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -T fields"
                " -d tcp.port==1-65535,data"  # the payload is noise that must not be taken for some protocol
                " -e ip.checksum.status -e tcp.checksum.status -e _ws.malformed"
            )
            # IPv6 has no checksum of its own.
            assert {tuple(line.split()) for line in verdicts.splitlines()} == {("1", "1"), ("1",)}


def check_command_line() -> None:
    """Two stacks on one host, a path of IPv4 and one of IPv6: either of them can be the first one."""
    for first in (4, 6):
        talk(first)


def talk(first: int) -> None:
    """Files in both directions, MPTCP on both subflows, refusal."""
    command = [sys.executable, "-m", "mptcp_stack"]
    near = ["-a", f"{ADDRESS}/24", "-a", f"{ADDRESS_6}/64"]
    far = ["-a", "10.0.1.102/24", "-a", "fd00:1::102/64"]
    remote = far[1 if first == 4 else 3].partition("/")[0]
    data = bytes(range(249)) * 20_000
    with tempfile.TemporaryDirectory() as directory:
        pcap = Path(directory) / "serve.pcap"
        server = subprocess.Popen(
            [*command, "serve", "80", *far, "--pcap", str(pcap), "--trace",
             "--path-manager", "fullmesh", "--path-commands", directory + "/paths"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        refused = [*command, "connect", remote, "81", *near]
        # Its route is the last thing that a stack needs.
        while "fd00:1::102" not in shell("ip -6 route"):
            time.sleep(0.02)
        result = subprocess.run(refused, input=b"", capture_output=True, check=False)
        assert (result.returncode, result.stderr) == (1, b"mptcp_stack: Connection refused\n"), result
        listed = subprocess.run([*command, "paths", directory + "/paths", "list"], capture_output=True, check=False)
        assert (listed.returncode, listed.stdout, listed.stderr) == (0, b"", b"")
        client = subprocess.Popen(
            [*command, "connect", remote, "80", *near, "--summary"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with ThreadPoolExecutor() as pool:
            served = pool.submit(server.communicate, b"short answer")
            output, report = client.communicate(data)
            received, trace = served.result()
        assert (client.returncode, server.returncode) == (0, 0), (report, trace)
        assert (output, received) == (b"short answer", data)
        assert pcap.stat().st_size > len(data)
        assert not (Path(directory) / "paths").exists()
    lines = report.decode().splitlines()
    assert lines[0] == "MPTCP"
    assert sorted(line.partition(" - ")[0].rpartition(":")[0] for line in lines[1:]) == [ADDRESS, ADDRESS_6]
    sent = [int(line.split(": ")[1].split()[0]) for line in lines[1:]]
    assert sum(sent) >= len(data)  # not what was sent when the input had ended
    assert b"MpJoinSynAck(" in trace


def check_tun_down_and_up() -> None:
    """The kernel drops the routes to a device that somebody sets down; a connection goes on when it is up again."""
    peer = make_peer()
    inside = ["nsenter", "-t", str(peer.pid), "-n", sys.executable, __file__, "echo_server"]
    echo_server = subprocess.Popen(inside, stdout=subprocess.PIPE)
    assert echo_server.stdout is not None
    echo_server.stdout.readline()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        reader, writer = await asyncio.open_connection(PEER, 4000)
        routes = snapshot()
        for state in ("down", "down up"):
            for each in state.split():
                shell(f"ip link set mptcp0 {each}")
            writer.write(bytes(100_000))
            if state == "down":
                while not loop.counters["IpOutDiscards"]:
                    await asyncio.sleep(0.01)
                assert time.process_time() < 10
                shell("ip link set mptcp0 up")
            while snapshot() != routes:
                await asyncio.sleep(0.02)
        writer.write_eof()
        assert await reader.read() == bytes(200_000)
        writer.close()

    run(asyncio.wait_for(main(), 30), NetworkConfig(addresses=[f"{ADDRESS}/24@e1", f"{ADDRESS_6}/64@e1"]))
    echo_server.kill()
    peer.kill()


def check_tun_deleted() -> None:
    """The command line ends with one line, a program gets errors and has nothing to do."""
    shell("ip link set lo up")
    command = [sys.executable, "-m", "mptcp_stack", "serve", "80", "-a", f"{ADDRESS}/24"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while ADDRESS not in shell("ip route"):
        time.sleep(0.02)
    shell("ip link del mptcp0")
    _, said = server.communicate(timeout=20)
    assert (server.returncode, said.count("\n")) == (1, 1), said
    assert "has gone" in said

    shell(f"ip addr add {PEER}/32 dev lo")
    kernels = socket.create_server((PEER, 80))

    async def main() -> None:
        reader, _ = await asyncio.open_connection(PEER, 80)
        reading = asyncio.ensure_future(reader.read())
        shell("ip link del mptcp0")
        with pytest.raises(OSError, match="down"):
            await reading
        before = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - before < 0.1
        with pytest.raises(OSError, match="down"):
            await asyncio.open_connection(PEER, 80)

    run(main(), NetworkConfig(addresses=[f"{ADDRESS}/24"]))
    kernels.close()
    assert "mptcp0" not in shell("ip link; ip rule; ip route show table all")


def check_changes() -> None:
    """However often interfaces change: no more descriptors, and no harm of more notes than the socket holds."""
    peer = make_peer()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        monitor = loop.network.address_monitor
        assert monitor is not None
        asked = 0
        refresh = monitor.refresh

        def count() -> object:
            nonlocal asked
            asked += 1
            return refresh()

        monitor.refresh = count  # type: ignore[assignment,method-assign]

        async def change(command: str) -> None:
            before = asked
            shell(command)
            while asked == before:
                await asyncio.sleep(0.01)

        await change("ip link set e1 down")
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            await change("ip link set e1 up")
            await change("ip link set e1 down")
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        monitor._notes.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        lines = "\n".join(f"link set e1 mtu {mtu}" for mtu in range(1400, 1500))
        subprocess.run(["ip", "-batch", "-"], input=f"{lines}\nlink set e1 mtu 1500 up", text=True, check=True)
        while monitor.absent:
            await asyncio.sleep(0.01)

    run(asyncio.wait_for(main(), 30), NetworkConfig(addresses=[f"{ADDRESS}/24@e1"]))
    peer.kill()


def check_policy() -> None:
    """The policy of a process may make loops of ours."""
    shell("ip link set lo up")

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return EventLoop(NetworkConfig(addresses=[f"{ADDRESS}/24"]))

    async def main() -> str:
        return type(asyncio.get_running_loop()).__name__

    asyncio.set_event_loop_policy(Policy())
    assert asyncio.run(main()) == "EventLoop"
    with asyncio.Runner() as runner:
        assert runner.run(main()) == "EventLoop"


if __name__ == "__main__":
    globals()[f"check_{sys.argv[1]}"]()
