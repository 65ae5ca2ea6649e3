"""The proxy between MPTCP clients, ours and the kernel's, and a server that knows TCP alone."""

import pytest

from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.kernel]

CODE = """
import pathlib, signal, subprocess
from testbed import stacks
from testbed.host.process import announced_ready, running
directory = pathlib.Path({directory!r})
with Lab(load_topology("proxy-chain", {{"rate": "20 Mbit/s", "delay": "5 ms"}})) as lab:
    client, proxy, server = (lab.hosts[name] for name in ("client", "proxy", "server"))
    kernel, ours, mptcp = (stacks.create(name) for name in ("kernel-tcp", "python-mptcp", "kernel-mptcp"))
    kernel.prepare(lab)
    client.run("ip mptcp limits set subflow 8 add_addr_accepted 8".split())
    for address, interface in zip(client.addresses, client.interfaces):
        client.run(f"ip mptcp endpoint add {{address}} dev {{interface}} subflow fullmesh".split())
    serve = kernel.command(lab, "server", "testbed.loadgen.bulk", "server", "--listen", "0.0.0.0:5001")
    paths = [option for address in proxy.stack_addresses[:2] for option in ("--address", address)]

    def proxied(mode, *options):
        command = kernel.command(lab, "proxy", "testbed.loadgen.proxy", "--listen", "0.0.0.0:5001", "--mode", mode)
        own = ["--stack-loop", "mptcp_stack", "--congestion", "lia", *paths]
        return running(proxy, [*command[:-2], *options, *own], directory, f"proxy-{{mode}}")

    def fetch(stack, address, direction):
        command = stack.command(
            lab, "client", "testbed.loadgen.bulk", "client", "--connect", f"{{address}}:5001",
            "--direction", direction, "--bytes", "1500000", "--check", "sha256", "--time-limit-s", "20")
        with running(client, command, directory, f"client-{{direction}}") as program:
            program.wait(30, lambda _: None)
            return program.documents()[-1]

    with running(server, serve, directory, "server") as origin:
        origin.await_start(announced_ready)
        for mode, options, address in (
            ("forward", ["--to", f"{{server.addresses[0]}}:5001"], proxy.stack_ips[0]),
            ("transparent", [], server.addresses[0]),
        ):
            with proxied(mode, *options) as program:
                program.await_start(announced_ready)
                for stack in (ours, mptcp):
                    before = client.byte_counts()
                    for direction in ("download", "upload"):
                        result = fetch(stack, address, direction)
                        after = client.byte_counts()
                        used = [sum(after[name]) - sum(before[name]) for name in client.interfaces]
                        before = after
                        say([mode, stack.name, direction, result["failure"], result["content_ok"], used])
            say(program.documents()[-1])
"""


def test_both_clients_use_both_paths_to_a_server_of_tcp(tmp_path) -> None:
    said = run_inside(CODE.format(directory=str(tmp_path)), timeout=100)
    for mode in ("forward", "transparent"):
        *transfers, account = said[:5]
        said = said[5:]
        for name, stack, direction, failure, content_ok, used in transfers:
            assert (name, failure, content_ok) == (mode, None, True), (stack, direction)
            assert all(path > 300_000 for path in used), (mode, stack, direction, used)
        assert account["connections"] == 4
        assert account["stack"]["counters"]["MPTcpExtMPCapableSYNRX"] == 4
        assert account["stack"]["counters"].get("MPTcpExtMPCapableFallbackACK", 0) == 0
