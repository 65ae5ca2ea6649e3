"""The foreign suites, and what is needed to have them: a table.

A suite is a set of files that pytest runs over a face, each in a process of its own (or more, where tests end one).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import fetch

_ASYNCIO = (
    "base_events buffered_proto context events futures futures2 locks pep492 protocols queues runners selector_events "
    "server sock_lowlevel ssl sslproto streams subprocess taskgroups threads timeouts transports "
    "unix_events waitfor"
)
_PROTOCOLS = "asyncore asynchat ftplib httplib imaplib nntplib poplib smtplib smtpd smtpnet telnetlib socketserver"
_WEB = (
    "httpservers xmlrpc urllib urllib2 urllib2_localnet urllib_response urllibnet wsgiref robotparser logging select"
    " selectors poll epoll docxmlrpc timeout"
)


@dataclass(frozen=True)
class Suite:
    """Files of pytest below a folder that `find` gives, over `face`; `skip`: which tests are no concern of a TCP stack.

    `limit_s`: of one file, all its processes together; `test_s`: of one test.
    """

    face: str
    find: Callable[[Path], Path]
    files: tuple[str, ...]
    skip: str = ""
    arguments: tuple[str, ...] = ()
    limit_s: int = 900
    test_s: int = 60


def _cpython(names: str, form: str = "test_{}.py") -> tuple[str, ...]:
    return tuple(form.format(name) for name in names.split())


_NO_TCP = (
    "not (VSOCK or UDP or Udp or Datagram or CAN or RDS or Qipcrtr or Bluetooth or Hyperv or Crypto or Unix or SCTP)"
)
_NO_SOCK = "not (Sendfile or SelectEventLoop)"
"""`loop.sock_*` and sockets that are given are the kernel's; of three kinds of selectors one is enough."""
_UNITTEST = (
    *("--override-ini=python_classes=", "--override-ini=python_functions="),
    *("-p", "no:warnings", "-p", "no:logging"),
)
"""Nothing is a test there but `unittest`'s classes."""

SUITES = {
    "socket": Suite("blocking", fetch.cpython, _cpython("socket"), _NO_TCP, _UNITTEST),
    "ssl": Suite("blocking", fetch.cpython, _cpython("ssl"), arguments=_UNITTEST),
    "protocols": Suite("blocking", fetch.cpython, _cpython(_PROTOCOLS), arguments=_UNITTEST),
    "web": Suite("blocking", fetch.cpython, _cpython(_WEB), arguments=_UNITTEST),
    "asyncio": Suite(
        "asyncio", fetch.cpython, _cpython(_ASYNCIO, "test_asyncio/test_{}.py"), _NO_SOCK, _UNITTEST, test_s=20
    ),
    "uvloop": Suite("asyncio", fetch.uvloop, ("tests",), "AIO or aio", ("-p", "no:anyio"), test_s=20),
    "anyio": Suite("both", fetch.anyio, ("tests",), "asyncio and not (uvloop or pytest_plugin)", test_s=20),
}
