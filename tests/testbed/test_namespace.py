"""A run leaves nothing behind, whatever ends it; signals, exit codes and the terminal work through its processes."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.testbed import lab_run
from tests.testbed.lab_run import ROOT

pytestmark = [pytest.mark.root, pytest.mark.alone]

# Machine-wide, and of no effect on anything else: the size of a table that is not in use.
SETTING = "net.core.rps_sock_flow_entries"
SETTING_FILE = Path("/proc/sys/net/core/rps_sock_flow_entries")

LAB = f"""
inside.machine.set_sysctl("{SETTING}", "64")
with Lab(load_topology("two-paths")) as lab:
    server = lab.hosts["server"]
    server.popen(["sleep", "1000"])
    server.popen(["sh", "-c", "setsid sleep 1000 & exec setsid sleep 1000"])
    (inside.scratch / "file").write_text("x")
    import os
    pids = [os.getpid(), *(host.pid for host in lab.hosts.values())]
    say({{"namespaces": [os.readlink(f"/proc/{{pid}}/ns/net") for pid in pids], "scratch": str(inside.scratch)}})
    time.sleep(1000)
"""


def interfaces():
    return set(os.listdir("/sys/class/net"))


@pytest.fixture
def run():
    """A started lab: its process, and what to find it by; nothing of it may remain when the test ends."""
    before = interfaces(), lab_run.machine_settings(), sorted(os.listdir("/run"))
    mark = f"LAB_TEST_RUN={uuid.uuid4()}"
    process = lab_run.start_inside(LAB, env=os.environ | dict([mark.split("=")]))
    try:
        about = json.loads(process.stdout.readline())
        assert len({os.readlink("/proc/self/ns/net"), *about["namespaces"]}) == 4
        # The run's own four, a shell for each host, and what was started in the server.
        assert lab_run.wait_until(lambda: len(lab_run.processes_with(mark)) == 4 + 2 + 3)
        assert SETTING_FILE.read_text().strip() == "64"
        yield process
        assert lab_run.wait_until(lambda: not lab_run.processes_with(mark)), "processes are left"
        # Without a process or a mount that holds it, a network namespace is gone, with its interfaces. (Its number
        # says nothing: the kernel gives it to the next one.)
        assert "nsfs" not in Path("/proc/self/mountinfo").read_text(), "namespaces are left mounted"
        assert not Path(about["scratch"]).exists()
        after = interfaces(), lab_run.machine_settings(), sorted({*os.listdir("/run")} - {"mptcp-lab"})
        assert after == (*before[:2], sorted({*before[2]} - {"mptcp-lab"}))
    finally:
        lab_run.end(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_run_leaves_nothing(run, number):
    run.send_signal(number)
    code = run.wait(timeout=10)
    assert code == (-9 if number == signal.SIGKILL else 128 + number)


@pytest.mark.parametrize("who", ["init", "command"])
def test_a_kill_of_an_inner_process_leaves_nothing(run, who):
    _guardian, init = lab_run.children(run.pid)
    victim = init if who == "init" else lab_run.children(init)[0]
    os.kill(victim, signal.SIGKILL)
    assert run.wait(timeout=10) == 128 + signal.SIGKILL


def test_what_a_killed_guardian_could_not_restore_the_next_run_does():
    before = SETTING_FILE.read_text()
    process = lab_run.start_inside(f'inside.machine.set_sysctl("{SETTING}", "64")\nsay(1)\ntime.sleep(1000)')
    try:
        process.stdout.readline()
        guardian = lab_run.children(process.pid)[0]
        os.kill(guardian, signal.SIGKILL)
    finally:
        lab_run.end(process)
    assert SETTING_FILE.read_text() != before
    lab_run.run_inside("pass")
    assert SETTING_FILE.read_text() == before


def test_the_last_of_two_runs_restores_a_setting_they_share():
    before = SETTING_FILE.read_text()
    code = f'inside.machine.set_sysctl("{SETTING}", "64")\nsay(1)\nsys.stdin.read()'
    first, second = (lab_run.start_inside(code, stdin=subprocess.PIPE) for _ in range(2))
    try:
        for process in (first, second):
            process.stdout.readline()
        first.communicate("")
        assert SETTING_FILE.read_text().strip() == "64"
        second.communicate("")
        assert SETTING_FILE.read_text() == before
    finally:
        lab_run.end(first)
        lab_run.end(second)


def test_a_refused_setting_is_one_line():
    said = lab_run.run_inside(
        """
        from testbed.errors import LabError
        for name, value in [("net.none", "1"), ("net.core.rps_sock_flow_entries", "many")]:
            try:
                inside.machine.set_sysctl(name, value)
            except LabError as error:
                say(error.message)
        """
    )
    assert said == [
        "net.none: this kernel (or network namespace) has no such setting",
        "net.core.rps_sock_flow_entries: cannot set 'many': Invalid argument",
    ]


def test_the_inside_is_private():
    (said,) = lab_run.run_inside(
        """
        import os, subprocess
        say({
            "interfaces": os.listdir("/sys/class/net"),
            "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
            "routes": subprocess.run(["ip", "route"], capture_output=True, text=True).stdout,
            "cgroups": os.path.ismount("/sys/fs/cgroup"),
        })
        """
    )
    assert said == {"interfaces": ["lo"], "processes": 2, "routes": "", "cgroups": os.path.ismount("/sys/fs/cgroup")}


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_comes_through(code):
    command = [sys.executable, "-m", "testbed.host.namespace", "sh", "-c", f"echo in; exit {code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (code, "in\n", "")


def test_without_root_there_is_one_line():
    code = "import os\nfrom testbed import errors\nfrom testbed.host import namespace\nos.setuid(65534)\n"
    code += "try: namespace.enter()\nexcept errors.LabError as error: print(error.exit_code, error.message)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.stdout == "2 a lab needs root: run with sudo\n"


# --- on a terminal -------------------------------------------------------------------------------------------


class Terminal:
    """A program on a terminal of its own, and what it has printed there."""

    def __init__(self, command, home):
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execve(command[0], command, os.environ | {"HOME": str(home)})
        self.text = ""

    def type(self, text):
        os.write(self._master, text.encode())

    def expect(self, text, limit_s=20.0):
        """Read until `text` appears, and forget everything up to it."""
        deadline = time.monotonic() + limit_s
        while text not in self.text:
            assert select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0], self.text
            self.text += os.read(self._master, 4096).decode(errors="replace")
        self.text = self.text.partition(text)[2]

    def exit_code(self):
        try:
            while os.read(self._master, 4096):
                pass
        except OSError:  # the terminal is gone with its last process
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_ctrl_c_reaches_the_command_once(tmp_path):
    terminal = Terminal(
        lab_run.program(
            """
            count = 0
            while count < 2:
                try:
                    print("ready", flush=True)
                    time.sleep(1 if count else 1000)
                    break
                except KeyboardInterrupt:
                    count += 1
            print("count", count, flush=True)
            sys.exit(130)
            """
        ),
        home=tmp_path,
    )
    terminal.expect("ready")
    terminal.type("\x03")
    terminal.expect("count 1")
    assert terminal.exit_code() == 130


def test_the_prompt_runs_programs_in_hosts_and_survives_ctrl_c(tmp_path):
    shell = 'from testbed.cli.shell import open_shell\nopen_shell(load_topology("two-paths"))'
    terminal = Terminal(lab_run.program(shell), home=tmp_path)
    terminal.expect("mininet> ")
    terminal.type("client ping -c 1 10.0.2.2\n")
    terminal.expect("1 received")
    terminal.expect("mininet> ")
    terminal.type("client sleep 1000\n")
    time.sleep(0.3)
    terminal.type("\x03")
    terminal.expect("mininet> ")
    terminal.type("exit\n")
    assert terminal.exit_code() == 0
