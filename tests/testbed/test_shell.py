"""A lab by hand: what its prompt and `exec` promise, and that links give back what they took."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.cli.shell import greeting, orders, to_try
from testbed.errors import LabError
from testbed.lab.mininet_prompt import Prompt
from testbed.spec.templates import load_topology
from tests.examples.test_programs import PROMISES
from tests.testbed.lab_run import ROOT, run_inside

TWO_PATHS = load_topology("two-paths", {})


def shell(typed: str) -> str:
    """What the prompt prints when lines are piped into it."""
    command = [sys.executable, "-m", "testbed", "shell", "two-paths"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, input=typed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def execute(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed", "exec", "two-paths", "--plain", *words]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)


@pytest.mark.root
@pytest.mark.kernel
def test_the_prompt_is_ready_and_what_it_says_to_try_works_as_it_stands() -> None:
    machines = Path("/etc/hosts").read_text()
    daemon = "server mptcpize run iperf3 -s -1 -D\n"
    listening = "server sh -c 'until ss -ltn | grep -q :5201; do sleep 0.05; done'\n"  # as one who types is slower
    typed = "\n".join(to_try(TWO_PATHS))
    assert daemon in typed
    typed = typed.replace(daemon, daemon + listening)
    typed += """
        client getent hosts server server-eth2 server-stack
        client cat
        client python -c 'import mptcp_stack, typer, sys; print(sys.executable)'
        client nstat -asz MPTcpExtMPJoinSynAckRx
        client sysctl net.ipv4.tcp_congestion_control
        pingall
        iperf
        xterm client
        router ip address
        link client server down
        links
        link path2 up
        links
        client echo ends here
    """
    out = shell(typed)
    for said in (
        *("10.0.1.2        server server-eth1", "10.0.2.2        server-eth2", "10.0.1.102      server-stack"),
        *("2 received", "iperf Done."),
        sys.executable,
        "net.ipv4.tcp_congestion_control = cubic",
        "0% dropped (2/2 received)",
        "iperf: type 'server iperf3 -s -1 -D', then 'client iperf3 -c server'",
        "no windows here",
        "unknown command or host 'router'; allowed: client, server",
        "2 links join client and server: type 'link path1 down', 'link path2 down'",
        "path2 client-eth2 server-eth2 down",
        "path2 client-eth2 server-eth2 up",
        "ends here",
    ):
        assert said in out
    assert re.search(r"MPTcpExtMPJoinSynAckRx +[12] ", out)  # of iperf3's two connections
    assert Path("/etc/hosts").read_text() == machines


@pytest.mark.root
def test_the_examples_run_as_the_documentation_tells_to_type_them(tmp_path: Path) -> None:
    text = (ROOT / "docs/api.md").read_text()
    (typed,) = re.findall(r"^```prompt two-paths\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    first, rest = typed.split("\n", 1)
    log = tmp_path / "log"
    listening = f"server sh -c 'until grep -q listening {log}; do sleep 0.05; done'"  # as one who types has seen
    out = shell("\n".join([first.replace("&", f"> {log} &"), listening, rest]))
    promised = [one.output.split("\n", 1)[1] for one in PROMISES if one.example.name in rest]
    assert len(promised) == 3
    for answer in promised:
        assert answer in out


def test_the_greeting_names_hosts_addresses_and_what_to_try() -> None:
    said = greeting(TWO_PATHS, "ready")
    for text in ("client-eth1 10.0.1.1 (Python stack 10.0.1.101/24)", "server-eth2 10.0.2.2", "links: path1 path2"):
        assert text in said
    assert all(f"  {command}\n" in said for command in to_try(TWO_PATHS))


@pytest.mark.root
def test_exec_passes_input_output_and_exit_code_on() -> None:
    first = ["client", "cat", "--", "client", "ip", "mptcp", "endpoint", "show"]  # nothing: --plain
    failing = ["server", "sh", "-c", "echo $0 >&2; exit 7", "--"]
    done = execute("--", *first, "--", *failing, "--", "client", "echo", "not reached", text="through the host")
    assert (done.returncode, done.stdout, done.stderr) == (7, "through the host", "--\n")


@pytest.mark.root
def test_exec_of_what_is_not_there_ends_as_in_a_shell() -> None:
    done = execute("--", "client", "nonsense", "--help", "--", "client", "echo", "not reached")
    assert (done.returncode, done.stdout, done.stderr) == (127, "", "lab: exec: client: nonsense: no such program\n")


@pytest.mark.root
def test_exec_does_without_what_its_caller_has_closed() -> None:
    asked = '"$0" -m testbed exec two-paths --plain -- client sh -c "cat; exit 7"'
    done = subprocess.run(
        ["bash", "-c", f"{asked} <&- >&- 2>&-", sys.executable], cwd=ROOT, input="", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


@pytest.mark.root
def test_what_is_piped_into_the_prompt_is_bash_as_it_is_typed() -> None:
    out = shell(
        "client echo one # it's a remark\nclient echo two;\nclient echo \"don't  fold\" | cat\nclient sleep 60 &\n"
    )
    assert "\none\ntwo\ndon't  fold\n" in out.replace("\r", "")


def test_a_prompts_history_is_in_a_home_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Prompt, "readlineInited", False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    Prompt.initReadline()
    assert not Prompt.readlineInited


@pytest.mark.root
def test_exec_leaves_a_program_running_beside_the_next() -> None:
    talk = ["server", "iperf3", "-s", "&", "--", "client", "sh", "-c", "until iperf3 -c server -n 1K; do :; done"]
    assert "iperf Done." in execute("--", *talk).stdout


def test_exec_does_not_take_commands_before_and_after_the_separator_for_one() -> None:
    done = execute("client", "echo", "one", "--", "server", "echo", "two")
    assert (done.returncode, done.stderr) == (2, "lab: exec: client echo one: must come after the first --\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("router true", "unknown host 'router'; allowed: client, server"),
        ("client", "client: which command?"),
        ("client &", "client: which command?"),
    ],
)
def test_exec_refuses_what_it_cannot_do(words: str, said: str) -> None:
    with pytest.raises(LabError) as refused:
        orders(words.split(), TWO_PATHS)
    assert said in refused.value.message


UNPLUG = """
import subprocess
from testbed.links.plugs import Plugs

def state(lab):
    shown = {}
    for name, host in lab.hosts.items():
        for what in ("-br address", "-4 route show table all", "-6 route show table all", "-4 rule", "-6 rule"):
            lines = host.run(["ip", *what.split()]).stdout.splitlines()
            shown[f"{name}: {what}"] = sorted(line.replace(" linkdown", "") for line in lines)
    return shown

def settled(lab, before):
    # A carrier that returns is noticed by the kernel when it has time.
    deadline = time.monotonic() + 20
    while (after := state(lab)) != before and time.monotonic() < deadline:
        time.sleep(0.02)
    return [f"{what}: {set(before[what]) ^ set(after[what])}" for what in before if before[what] != after[what]]

for name, parameters in json.loads(sys.argv[1]):
    with Lab(load_topology(name, parameters)) as lab:
        plugs = Plugs(lab.hosts)
        # Routes of the user's own, beside those of the lab.
        for host in lab.hosts.values():
            for command in ("-4 route add 192.0.2.0/24 dev {}", "-4 route add 198.51.100.0/24 dev {} table 77"):
                host.run(["ip", *command.format(host.interfaces[0]).split()])
        before = state(lab)
        gone = []
        for link in lab.topology.links[:6]:
            plugs.pull(link)
            plugs.pull(link)
            end = link.ends[0]
            gone.append("state DOWN" in lab.hosts[end.host].run(["ip", "link", "show", end.interface]).stdout)
            plugs.plug(link)
            plugs.plug(link)
        lost = settled(lab, before)
        links = lab.topology.links[:4]
        for order in (links, links[::-1]):
            for link in links:
                plugs.pull(link)
            for link in order:
                plugs.plug(link)
            lost += settled(lab, before)
        say([name, gone, lost])
"""


@pytest.mark.root
def test_links_give_back_all_that_they_took() -> None:
    labs = [(name, {}) for name in ("dual-stack", "dumbbell")]
    labs += [("two-paths", {"rate": "none", "paths": 3})]
    labs += [("dual-stack", {"rate": "none"})]  # direct links, with IPv6 and routes in tables of their own
    for name, gone, lost in run_inside(UNPLUG, json.dumps(labs)):
        assert all(gone), name
        assert lost == [], name
