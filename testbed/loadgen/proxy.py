"""The proxy from MPTCP to TCP, as a program in a host of the lab (see ``mptcp_stack.runtime.proxy``).

``proxy --listen ADDRESS:PORT --mode forward --to ADDRESS:PORT`` prints ``{"ready": ...}`` and relays until SIGTERM;
then it prints what it relayed. Clients reach it over our stack with ``--stack-loop mptcp_stack``, else the kernel's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from mptcp_stack.runtime import PROXY_MODES, Proxy, Target
from testbed.loadgen.options import (
    Endpoint,
    Parser,
    add_stack_arguments,
    endpoint,
    event_loop,
    report_error,
    stack_report,
)
from testbed.loadgen.serving import until_stopped


async def _serve(listen: Endpoint, proxy: Proxy) -> dict[str, Any]:
    server = await asyncio.start_server(proxy.handle, listen.host, listen.port)
    await until_stopped(server, listen)
    return {**proxy.counters, "cpu_s": round(time.process_time(), 3), "stack": stack_report(asyncio.get_running_loop())}


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.proxy", description=__doc__)
    parser.add_argument("--listen", type=endpoint, required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--mode", choices=PROXY_MODES, default="forward", help="how it knows where to")
    parser.add_argument("--to", type=endpoint, metavar="ADDRESS:PORT", help="the server, in the mode forward")
    add_stack_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Relay until SIGTERM; returns the exit code."""
    arguments = _arguments(argv)
    try:
        target = Target(ip_address(arguments.to.host), arguments.to.port) if arguments.to else None
        proxy = Proxy(arguments.mode, target)
        if proxy.mode == "transparent":
            arguments.settings.append("transparent=on")
        with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
            report = runner.run(_serve(arguments.listen, proxy))
    except (OSError, ValueError) as error:
        return report_error("testbed.loadgen.proxy", error)
    print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
