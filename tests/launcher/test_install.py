"""`pip install .`: pure Python for any machine, or compiled for this one; each in an environment of its own."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from .conftest import ROOT, Checkout

TRANSFER = """
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
import mptcp_stack
from mptcp_stack.build import running
from mptcp_stack.phy import memory_pair
from mptcp_stack.runtime import Network, SocketNetwork
from mptcp_stack.stack import LocalAddress, StackConfig

def network(address, device):
    return SocketNetwork(Network(StackConfig(addresses=(LocalAddress(ip_address(address).packed, 24),)), device))

def send(sender):
    with sender:
        sender.sendall(megabyte)

megabyte = bytes(range(250)) * 4000
near, far = memory_pair()
with network("10.0.0.1", near) as client, network("10.0.0.2", far) as server, ThreadPoolExecutor() as pool:
    with server.socket() as listener, client.socket() as sender:
        listener.bind(("", 80))
        listener.listen()
        sender.connect(("10.0.0.2", 80))
        sent = pool.submit(send, sender)
        with listener.accept()[0] as receiver, receiver.makefile("rb") as stream:
            assert stream.read() == megabyte
        sent.result()
print(running(), mptcp_stack.__file__)
"""


@pytest.fixture
def sources(clean_checkout: Checkout, tmp_path: Path) -> Path:
    """A clone; what is compiled of this checkout need not be compiled again there."""
    clone = shutil.copytree(clean_checkout.path, tmp_path / "clone", ignore=shutil.ignore_patterns(".venv"))
    work = ROOT / "mptcp_stack" / "_compiled" / "making"
    if (work / "o").exists():
        shutil.copytree(work, clone / "build" / "core")
    return clone


def pip(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)


def call_back_end(hook: str, sources: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have the back end make something, as pip does."""
    out.mkdir()
    code = f"import sys; sys.path.insert(0, 'provision'); import build_backend; build_backend.{hook}(sys.argv[1])"
    environment = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", code, out], cwd=sources, env=environment, capture_output=True, text=True
    )


def names_in(wheel: Path) -> set[str]:
    return {*ZipFile(wheel).namelist()}


def lend_dependencies(package: Distribution, place: Path) -> None:
    """Link what a package declares that it needs, and what that needs, from this environment into another."""
    waiting, seen = [*(package.requires or ())], set[str]()
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name)
        needed = distribution(requirement.name)
        waiting += needed.requires or ()
        for top in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
            if not (place / top).exists():  # a namespace of several
                (place / top).symlink_to(str(needed.locate_file(top)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("build", ["pure", "compiled"])
def test_installed_stack(build: str, sources: Path, tmp_path: Path) -> None:
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    compiled = str(int(build == "compiled"))
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(sources), MPTCP_LAB_COMPILE=compiled)
    (wheel,) = wheels.iterdir()
    assert wheel.name.endswith("-none-any.whl") == (build == "pure")
    names = names_in(wheel)
    assert any(name.endswith(".so") for name in names) == (build == "compiled")
    assert not [name for name in names if "_compiled/making" in name]
    assert {"mptcp_stack/py.typed", "analysis/formats/point.schema.json", "testbed/loadgen/apache2.conf.j2"} <= names

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    (place,) = environment.glob("lib/python*/site-packages")
    (metadata,) = place.glob("mptcp_lab-*.dist-info")
    lend_dependencies(Distribution.at(metadata), place)
    done = subprocess.run([python, "-c", TRANSFER], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True)
    assert done.stdout.decode().split() == [build, f"{place}/mptcp_stack/__init__.py"], done.stderr.decode()


@pytest.mark.parametrize("hook", ["build_wheel", "build_editable"])
def test_without_a_compiler_a_compiled_wheel_is_refused_in_one_line(hook: str, sources: Path, tmp_path: Path) -> None:
    refused = call_back_end(hook, sources, tmp_path / "out", MPTCP_LAB_COMPILE="1", PATH="/nowhere")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[-1].startswith(
        "error: the core is not compiled: no C compiler (cc) is here (log: "
    )
    assert "Traceback" not in refused.stderr


def test_of_a_source_archive_the_same_wheel_is_made(sources: Path, tmp_path: Path) -> None:
    left = sources / "build" / "lib" / "mptcp_stack" / "left_from_an_earlier_build.py"
    left.parent.mkdir(parents=True)
    left.touch()
    call_back_end("build_wheel", sources, tmp_path / "of the checkout").check_returncode()
    call_back_end("build_sdist", sources, tmp_path / "archives").check_returncode()
    (archive,) = (tmp_path / "archives").iterdir()
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    call_back_end("build_wheel", unpacked, tmp_path / "of the archive").check_returncode()
    wheels = [
        names_in(wheel) for place in ("of the checkout", "of the archive") for wheel in (tmp_path / place).iterdir()
    ]
    assert wheels[0] == wheels[1]
    assert f"mptcp_stack/{left.name}" not in wheels[0]
    assert (unpacked / "requirements.lock").exists()
