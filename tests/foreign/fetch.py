"""What foreign suites and programs consist of, fetched by the usual clients into a folder outside the repository.

`environment` is a virtual environment for the packages of `packages.txt`; the lab's own packages are seen from there.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

PACKAGES = Path(__file__).with_name("packages.txt")


def cache() -> Path:
    """`$XDG_CACHE_HOME/mptcp-lab/foreign`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mptcp-lab" / "foreign"


def environment(folder: Path) -> Path:
    """The Python of the environment; made when there is none, or another list was installed."""
    python, installed = folder / "venv/bin/python", folder / "venv/packages.txt"
    if installed.exists() and installed.read_text() == PACKAGES.read_text():
        return python
    print(f"installing the packages of {PACKAGES.name} into {folder / 'venv'}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True)
    quiet = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([python, *quiet, "--requirement", PACKAGES], check=True)
    site = sysconfig.get_paths("venv", {"base": str(folder / "venv"), "platbase": str(folder / "venv")})["purelib"]
    (Path(site) / "lab.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    installed.write_text(PACKAGES.read_text())
    return python


def cpython(folder: Path) -> Path:
    """The tests of the standard library: those that this Python came with, else Debian's package of them."""
    own = Path(sysconfig.get_paths()["stdlib"]) / "test"
    if (own / "test_socket.py").exists():
        return own
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = folder / "debian/usr/lib" / f"python{version}" / "test"
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "--quiet", f"libpython{version}-testsuite"], check=True, cwd=folder)
        (package,) = folder.glob(f"libpython{version}-testsuite_*.deb")
        subprocess.run(["dpkg", "--extract", package, folder / "debian"], check=True)
    return found


def uvloop(folder: Path) -> Path:
    """uvloop's source distribution."""
    return _source("uvloop", folder)


def anyio(folder: Path) -> Path:
    """anyio's source distribution."""
    return _source("anyio", folder)


def _source(name: str, folder: Path) -> Path:
    """Unpack the source distribution of the version in `packages.txt`."""
    (wanted,) = [line for line in PACKAGES.read_text().splitlines() if line.startswith(name + "==")]
    sources = folder / "sources"
    unpacked = sources / wanted.replace("==", "-")
    if not unpacked.exists():
        pip = [environment(folder), "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-binary", name, "--dest", sources, wanted], check=True)
        with tarfile.open(f"{unpacked}.tar.gz") as archive:
            # Without the package itself, which is installed.
            members = [member for member in archive if Path(member.name).parts[1:2] != (name,)]
            archive.extractall(sources, members, filter="data")
    return unpacked
