"""Two hosts with two links in a network namespace of their own, as in the lab's `two-paths`.

test_http_libraries.py starts this file in one. Its argument is a folder of scripts: `server.py` runs in one host, each
of the others after it in the other one. What they print is printed, after their names.
"""

import subprocess
import sys
import time
from pathlib import Path

PATHS = (1, 2)


def shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def make_hosts() -> list[str]:
    """Make a host of this namespace, and another one; what to put before a command that is to run there."""
    other = subprocess.Popen(["unshare", "--net", "--kill-child", "sleep", "100"])
    while Path(f"/proc/{other.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
        time.sleep(0.01)
    inside = ["nsenter", "-t", str(other.pid), "-n"]
    for path in PATHS:
        shell(
            f"ip link add client-eth{path} type veth peer name server-eth{path} netns {other.pid};"
            f"ip addr add 10.0.{path}.1/24 dev client-eth{path}; ip link set client-eth{path} up;"
            f"{' '.join(inside)} sh -c "
            f"'ip addr add 10.0.{path}.2/24 dev server-eth{path}; ip link set server-eth{path} up'"
        )
    return inside


def main(folder: Path) -> None:
    inside = make_hosts()
    server = subprocess.Popen([*inside, sys.executable, folder / "server.py"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline().startswith("listening"), "the server does not listen"
    for script in sorted(folder.glob("*.py")):
        if script.name != "server.py":
            print(f"# {script.name}", flush=True)
            subprocess.run([sys.executable, script], check=True, timeout=30)
    server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
