"""Which modules of the stack are compiled together, and the key of what they are now."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final, NamedTuple

FLAGS: Final = ("-O2", "-g0", "-DNDEBUG", "-fPIC", "-fwrapv", "-fvisibility=hidden", "-w")
"""What the C compiler is told. `-fwrapv` as for Python itself; hidden names make calls within the library direct."""
TRANSLATE: Final = os.path.join(os.path.dirname(__file__), "translate.py")
"""The program that has mypy turn modules into C."""
_KEY_DIGITS: Final = 16
MAKING: Final = "making"
"""The folder beside what was compiled, of what is kept to compile only what has changed."""
DIGEST: Final = "digest"
"""The file beside a library that says what `digest_of` gave for it."""


class Unit(NamedTuple):
    """Modules of one package that are compiled together.

    `package` is the package's folder. `members` are modules (`texts.py`) and packages (`wire`) by their path in it.
    `interpreted` are those of or within members that stay Python, each with the reason: members all the same, since
    others are compiled for the types that they define.
    """

    package: str
    members: tuple[str, ...]
    interpreted: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the package's name."""
        return os.path.basename(self.package)

    @property
    def builds(self) -> str:
        """Return the folder of what was compiled, a folder for each key."""
        return os.path.join(self.package, "_compiled")

    @property
    def library(self) -> str:
        """Return the name of the extension module that holds the code of all."""
        return f"{self.name}__mypyc"

    @property
    def library_file(self) -> str:
        """Return the library's file; the suffix says Python's version and ABI, and the machine."""
        return f"{self.library}{EXTENSION_SUFFIXES[0]}"

    def was_compiled(self) -> bool:
        """Return whether something was compiled of it, from these sources or others."""
        try:
            return any(len(name) == _KEY_DIGITS for name in os.listdir(self.builds))
        except OSError:
            return False

    def sources(self) -> list[str]:
        """Return the files of all members by their path in the package, in order; also those that stay Python."""
        return sorted(file for member in self.members for file in self._files(member))

    def _files(self, member: str) -> Iterator[str]:
        if member.endswith(".py"):
            yield member
            return
        with os.scandir(os.path.join(self.package, member)) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__pycache__")):  # what editors and archivers leave beside a source
                    continue
                if entry.name.endswith(".py") or entry.is_dir():
                    yield from self._files(f"{member}/{entry.name}")

    def compiled(self) -> list[str]:
        """Return the files that are compiled."""
        stays = tuple(f"{path}/" for path in self.interpreted)
        return [file for file in self.sources() if not f"{file}/".startswith(stays)]

    def key(self) -> str:
        """Return what the unit is known by: a hash of all that decides what compiling it gives.

        That is every source, Python's version, its ABI and the machine (as in the suffix of its extension modules),
        mypy, how it is called, and the flags of the C compiler.
        """
        suffix = EXTENSION_SUFFIXES[0]
        digest = hashlib.sha256("\0".join((suffix, *FLAGS, self.mypy(), *self.interpreted)).encode())
        digest.update(_read(TRANSLATE))
        for file in self.sources():
            content = _read(os.path.join(self.package, file))
            digest.update(f"\0{file}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:_KEY_DIGITS]

    def mypy(self) -> str:
        """Return which mypy compiles, by the checkout's lock file; an installed stack has none, nor compiles."""
        try:
            with open(os.path.join(os.path.dirname(self.package), "requirements.lock"), encoding="utf-8") as lock:
                return lock.read().partition("\nmypy==")[2].split(maxsplit=1)[0]
        except (OSError, IndexError):
            return ""


def digest_of(file: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, 5 ms for the library of the stack. Raises OSError."""
    with open(file, "rb", buffering=0) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _read(file: str) -> bytes:
    with open(file, "rb", buffering=0) as source:
        return source.read()


_LOOKED_AT: Final = "programs copy, pickle and look through them, and subclass them as data"
_OF_ASYNCIO: Final = "a subclass of asyncio's, used when something is opened"
STACK: Final = Unit(
    package=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    members=(
        "congestion", "events.py", "ip_reassembly.py", "mptcp", "observe.py", "phy", "sim", "stack.py", "storage",
        "tcp", "texts.py", "wire",
        "runtime/aio", "runtime/blame.py", "runtime/config.py", "runtime/driven_loop.py", "runtime/driver.py",
        "runtime/errors.py", "runtime/host", "runtime/network.py", "runtime/retrying_reader.py",
        "runtime/settings.py", "runtime/socket_options", "runtime/waiting.py",
    ),
    interpreted={
        "mptcp/config.py": _LOOKED_AT,
        "mptcp/local_address.py": _LOOKED_AT,
        "tcp/config.py": _LOOKED_AT,
        "runtime/aio/event_loop.py": _OF_ASYNCIO,
        "runtime/aio/process.py": "used once in a program",
        "runtime/aio/server.py": _OF_ASYNCIO,
        "runtime/blame.py": "for when something goes wrong",
        "runtime/config.py": "used once in a program",
        "runtime/driven_loop.py": _OF_ASYNCIO,
        "runtime/errors.py": "for when something goes wrong",
        "runtime/host": "used when the host's addresses change",
        "runtime/network.py": "used once in a program",
        "runtime/settings.py": "used once in a program",
        "sim/application.py": "classes of programs and tests take its place, method by method",
        "sim/script": "a packet at a time, by tables of methods",
    },
)  # fmt: skip
"""The stack's own: what a segment passes. All that a member imports of the stack is a member, too, or `build`."""
