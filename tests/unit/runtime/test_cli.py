import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mptcp_stack", *arguments]
    return subprocess.run(command, capture_output=True, text=True, input="", cwd=REPOSITORY, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["connect", "10.0.1.2", "80", "-a", "10.0.1.1"], "address '10.0.1.1': must look like"),
        (["serve", "80", "-a", "10.0.1.1/24", "-a", "10.0.1.1/24"], "10.0.1.1 is given twice"),
        (["serve", "80", "-a", "10.0.1.1/24", "--set", "sack=x"], "setting sack: must be on or off, not 'x'"),
        (["proxy", "80", "-a", "10.0.1.1/24", "--to", "10.0.2.1:99999"], "--to '10.0.2.1:99999': must be IP:PORT"),
        (["proxy", "80", "-a", "10.0.1.1/24", "--to", "10.0.1.1:80"], "--to '10.0.1.1:80': is the proxy itself"),
        (["proxy", "80", "-a", "10.0.1.1/24", "--mode", "convert", "--allow", "10.0.0.1/8"], "--allow '10.0.0.1/8'"),
        (
            ["proxy", "80", "-a", "10.0.1.1/24", "--to", "10.0.2.1:80", "--allow", "10.0.0.0/8"],
            "convert and transparent",
        ),
        (["script", "/nonexistent.pkt"], "/nonexistent.pkt: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    result = call(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("mptcp_stack: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda path: None, 2, "No such file or directory"),
        (Path.mkdir, 2, "Is a directory"),
        (lambda path: path.write_bytes(b"\xff"), 1, "is no text"),
    ],
)
def test_a_script_that_is_none_is_one_line(tmp_path, make, code, message):
    make(tmp_path / "x.pkt")
    result = call("script", str(tmp_path / "x.pkt"))
    assert result.returncode == code
    assert f"{tmp_path}/x.pkt: {message}" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["serve", "80"], ["serve", "0", "-a", "10.0.1.1/24"], ["listen"]])
def test_wrong_usage(arguments):
    result = call(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_help_names_the_commands():
    result = call("--help")
    assert result.returncode == 0
    assert "connect" in result.stdout
    assert "serve" in result.stdout
