"""Mininet's prompt, for a lab: hosts' commands as they are, links by name, and a word where Mininet's way is none here.

Beside `mininet_backend` the only module that imports Mininet.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mininet.cli import CLI
from mininet.log import lg

from testbed.errors import LabError
from testbed.input.validation import unknown
from testbed.links.plugs import Plugs
from testbed.spec import Link


def _instead(text: str) -> Callable[[Any, str], None]:
    def say(self: Any, _line: str) -> None:
        self.say(text.format(*self.two_hosts()))

    return say


_NO_SWITCHES: Final = "there are no switches here, links join hosts: 'links' shows them"
_NO_WINDOWS: Final = "no windows here: 'sh' and the hosts' commands run in this terminal"
_OF_NO_USE: Final = ("iperf", "iperfudp", "xterm", "gterm", "x", "dpctl", "switch", "ports")


class Prompt(CLI):  # type: ignore[misc]  # Mininet has no types
    """Mininet's prompt on a running network; what is piped into it is taken line by line.

    It ends with its input, or by `exit`.
    """

    def __init__(self, net: Any, links: Sequence[Link], plugs: Plugs) -> None:
        self._links = {link.name: link for link in links}
        self._plugs = plugs
        lg.handlers[0].setStream(sys.stdout)  # what a command says is no diagnosis
        if not sys.stdin.isatty():
            self.prompt = ""
        super().__init__(net)

    @classmethod
    def initReadline(cls) -> None:
        """Keep a history in a home of one's own: in a user's, root's file would be in the way, or follow their link."""
        with suppress(OSError, RuntimeError):  # without a home there is no history
            if Path("~").expanduser().stat().st_uid == os.geteuid():
                super().initReadline()

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def two_hosts(self) -> list[str]:
        """Two hosts to speak of: client and server where there are such."""
        names = [node.name for node in self.mn.hosts]
        return ["client", "server"] if {"client", "server"} <= set(names) else names[:2]

    do_iperf = _instead(
        "iperf: type '{1} iperf3 -s -1 -D', then '{0} iperf3 -c {1}'; 'mptcpize run' before both: MPTCP"
    )
    do_iperfudp = _instead("iperfudp: type '{1} iperf3 -s -1 -D', then '{0} iperf3 -u -b 10M -c {1}'")
    do_xterm = do_gterm = do_x = _instead(_NO_WINDOWS)
    do_dpctl = do_switch = do_ports = _instead(_NO_SWITCHES)

    helpStr = (
        "HOST COMMAND runs a command in a host, which knows the others by name:\n"
        "  client ping -c 3 server\n"
        "  client ip mptcp endpoint show\n"
        "Its 'python' is the lab's. Programs that want the terminal for themselves need noecho:\n"
        "  noecho client vi notes.py\n"
    )

    def get_names(self) -> list[str]:
        """What `help` lists: not what only says what to use instead."""
        return [name for name in super().get_names() if name.removeprefix("do_") not in _OF_NO_USE]

    def completenames(self, text: str, *_: Any) -> list[str]:
        """Complete a command, or the host that is to run one."""
        return [*super().completenames(text), *(name for name in self.mn if name.startswith(text))]

    def completedefault(self, text: str, *_: Any) -> list[str]:
        """Complete hosts and links."""
        return [name for name in (*self.mn, *self._links) if name.startswith(text)]

    def do_links(self, _line: str) -> None:
        """Show every link, the interfaces it joins, and whether it is up."""
        width = max(map(len, self._links))
        for name, link in self._links.items():
            ends = " ".join(end.interface for end in link.ends)
            self.say(f"{name:<{width}} {ends} {'down' if name in self._plugs.down else 'up'}")

    def do_link(self, line: str) -> None:
        """Take a link down, or bring it up again with all that hosts had of it: link NAME up|down.

        Also link HOST HOST up|down, where one link joins the two.
        """
        try:
            match line.split():
                case [name, ("up" | "down") as state]:
                    link = self._one(name)
                case [first, second, ("up" | "down") as state]:
                    link = self._between(first, second, state)
                case _:
                    raise LabError("usage: link NAME up|down, or link HOST HOST up|down; 'links' shows the names")
            (self._plugs.plug if state == "up" else self._plugs.pull)(link)
        except LabError as error:
            self.say(error.message)

    def _one(self, name: str) -> Link:
        if name not in self._links:
            raise LabError(unknown("link", name, list(self._links)))
        return self._links[name]

    def _between(self, first: str, second: str, state: str) -> Link:
        found = [link for link in self._links.values() if {end.host for end in link.ends} == {first, second}]
        if not found:
            raise LabError(f"no link joins {first} and {second}; 'links' shows those there are")
        if len(found) > 1:
            ways = ", ".join(f"'link {link.name} {state}'" for link in found)
            raise LabError(f"{len(found)} links join {first} and {second}: type {ways}")
        return found[0]

    def default(self, line: str) -> None:
        """Run a command in the host whose name comes first; names of hosts are in its /etc/hosts."""
        name, _, command = line.strip().partition(" ")
        command = command.strip()
        if name not in self.mn:
            self.say(f"{unknown('command or host', name, [*self.mn])}; 'help' lists commands")
        elif not command:
            self.say(f"{name}: which command? For example: {name} ip address")
        else:
            node = self.mn[name]
            if not self.isatty():  # the lines that follow are the prompt's
                command = f"eval {shlex.quote(command)} </dev/null"
            node.sendCmd(command)
            self.waitForNode(node)

    def waitForNode(self, node: Any) -> None:
        """Show what a host's command prints until it ends; keys go to it, but what is piped does not."""
        if self.isatty():
            super().waitForNode(node)
            return
        while node.waiting:
            sys.stdout.write(node.monitor())
            sys.stdout.flush()
