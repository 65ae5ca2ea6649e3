"""`pip install .`: pure Python for any machine, or compiled for this one; each in an environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

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
    work = ROOT / "mptcp_stack" / "_compiled" / "work"
    if (work / "o").exists():
        shutil.copytree(work, clone / "build" / "core")
    return clone


def pip(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["pure", "compiled"])
def test_installed_stack(form: str, sources: Path, tmp_path: Path) -> None:
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    compiled = str(int(form == "compiled"))
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(sources), MPTCP_LAB_COMPILE=compiled)
    (wheel,) = wheels.iterdir()
    assert wheel.name.endswith("-none-any.whl") == (form == "pure")
    names = ZipFile(wheel).namelist()
    assert any(name.endswith(".so") for name in names) == (form == "compiled")
    assert not [name for name in names if "_compiled/work" in name]
    assert {"mptcp_stack/py.typed", "analysis/formats/point.schema.json", "testbed/loadgen/apache2.conf.j2"} <= {*names}

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    (place,) = environment.glob("lib/python*/site-packages")
    (place / "others.pth").write_text(sysconfig.get_path("purelib"))  # what the stack needs of others is installed here
    done = subprocess.run([python, "-c", TRANSFER], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True)
    assert done.stdout.decode().split() == [form, f"{place}/mptcp_stack/__init__.py"], done.stderr.decode()
