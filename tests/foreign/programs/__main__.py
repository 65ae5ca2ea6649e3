"""Real programs over the application faces: `sudo .venv/bin/python -m tests.foreign.programs [NAME ...]`.

Each pair of a client and a server runs with ours at both ends, and with the kernel at either; without TLS and with it.
Every end is a process of its own, all in one private namespace. `--markdown FILE` writes the table of docs/api.md.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.foreign import fetch
from tests.foreign.addresses import KERNELS

from .certificates import write_certificates

NAMESPACE = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
MEMORY_BYTES = 4 << 30
LIMIT_S = 60.0
PORT = 5000
ADDRESSES = {"client": "10.0.1.101/24", "server": "10.0.1.102/24"}


@dataclass(frozen=True)
class Pair:
    """A client and a server (functions of this package), and the face of each; None: it is no Python program."""

    client: str
    client_face: str | None
    server: str
    server_face: str | None
    tls: bool = True


PAIRS = {
    "httpx, uvicorn": Pair("web.httpx", "asyncio", "web.uvicorn", "asyncio"),
    "httpx, hypercorn": Pair("web.httpx", "asyncio", "web.hypercorn", "descriptors"),
    "aiohttp": Pair("web.aiohttp_client", "descriptors", "web.aiohttp_server", "asyncio"),
    "requests, ThreadingHTTPServer": Pair("web.requests", "blocking", "web.threading_server", "blocking"),
    "ab -k -c 50, ThreadingHTTPServer": Pair("web.ab", None, "web.threading_server", "blocking"),
    "websockets": Pair("others.websockets_client", "asyncio", "others.websockets_server", "asyncio"),
    "asyncssh, 50 MB": Pair("others.asyncssh_client", "asyncio", "others.asyncssh_server", "asyncio", tls=False),
    "redis, asyncio": Pair("others.redis_asyncio", "asyncio", "others.redis_server", None),
    "redis, blocking": Pair("others.redis_blocking", "blocking", "others.redis_server", None),
    "grpclib": Pair("others.grpclib_client", "asyncio", "others.grpclib_server", "asyncio"),
    "aioftp": Pair("others.aioftp_client", "asyncio", "others.aioftp_server", "asyncio"),
}
ENDS = {"both ours": (True, True), "our client": (True, False), "our server": (False, True), "kernel's": (False, False)}


def possible(pair: Pair, ours: tuple[bool, bool]) -> bool:
    """Whether the ends that are to be ours are Python programs."""
    return not (ours[0] and pair.client_face is None) and not (ours[1] and pair.server_face is None)


def end(role: str, program: str, face: str | None, host: str, tls: bool, folder: Path) -> list[str]:
    """The command of an end, on the kernel's network without a face."""
    words = [program, face or "kernel", ADDRESSES[role], host, str(PORT), "tls" if tls else "plain", str(folder)]
    return [sys.executable, "-m", "tests.foreign.programs.end", *words]


def play(pair: Pair, ours: tuple[bool, bool], tls: bool, folder: Path) -> str:
    """Seconds that the client took, or what went wrong."""
    host = ADDRESSES["server"].partition("/")[0] if ours[1] else KERNELS
    server = end("server", pair.server, pair.server_face if ours[1] else None, host, tls, folder)
    client = end("client", pair.client, pair.client_face if ours[0] else None, host, tls, folder)
    with (
        (folder / "server").open("w+") as said,
        subprocess.Popen(server, stdout=subprocess.PIPE, stderr=said, process_group=0) as serving,
    ):
        assert serving.stdout is not None
        try:
            if serving.stdout.readline() != b"ready\n":
                return f"server: {last_line(folder / 'server')}"
            done = subprocess.run(client, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return f"not done after {LIMIT_S:.0f} s"
        finally:
            os.killpg(serving.pid, signal.SIGKILL)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    time_s, carried, *figures = done.stdout.split(maxsplit=2)
    if ours[0] and carried == "0":
        return "not carried by our stack"
    return figures[0].strip() if figures else f"{time_s} s"


def last_line(file: Path) -> str:
    """What was said last."""
    return (file.read_text().strip().splitlines() or ["nothing was said"])[-1]


def works(outcome: str) -> bool:
    """Whether it is a figure."""
    return outcome.partition(" ")[0].replace(".", "").isdigit()


def row(name: str, tls: bool, outcomes: dict[str, str]) -> str:
    """A line of the table."""
    cells = [outcomes.get(ends, "") for ends in ENDS]
    return f"| {name}{', TLS' if tls else ''} | {' | '.join(cells)} |"


def inside(names: list[str], markdown: Path | None) -> int:
    """All that is wanted, in this namespace."""
    subprocess.run(f"ip link set lo up; ip addr add {KERNELS}/24 dev lo", shell=True, check=True)
    lines = [f"| client, server | {' | '.join(ENDS)} |", "|---" * (len(ENDS) + 1) + "|"]
    failed = 0
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_certificates(folder, [KERNELS, *(address.partition("/")[0] for address in ADDRESSES.values())])
        for name in names:
            pair = PAIRS[name]
            for tls in (False, True)[: 1 + pair.tls]:
                outcomes = {ends: play(pair, ours, tls, folder) for ends, ours in ENDS.items() if possible(pair, ours)}
                failed += sum(not works(outcome) for outcome in outcomes.values())
                lines.append(row(name, tls, outcomes))
                print(lines[-1], flush=True)
    if markdown is not None:
        markdown.write_text("\n".join(lines) + f"\n\nVersions: {versions()}.\n")
    return 1 if failed else 0


def versions() -> str:
    """Of the packages that were run."""
    names = "aioftp aiohttp asyncssh grpclib httpx hypercorn redis requests uvicorn websockets"
    return ", ".join(f"{name} {metadata.version(name)}" for name in names.split())


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.foreign.programs", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"those with this in their names, of: {'; '.join(PAIRS)}")
    parser.add_argument("--markdown", type=lambda text: Path(text).absolute(), help="a file for the table")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = [name for name in PAIRS if not given.name or any(part in name for part in given.name)]
    if not names:
        parser.error(f"nothing is named so: there are {'; '.join(PAIRS)}")
    if given.inside:
        return inside(names, given.markdown)
    if os.geteuid() != 0:
        parser.error("needs root: run with sudo")
    python = fetch.environment(fetch.cache())
    root = Path(__file__).parents[3]
    command = [
        *NAMESPACE,
        "prlimit",
        f"--as={MEMORY_BYTES}",
        "--core=0",
        "--",
        str(python),
        "-m",
        "tests.foreign.programs",
    ]
    variables = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([*command, *sys.argv[1:], "--inside"], env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
