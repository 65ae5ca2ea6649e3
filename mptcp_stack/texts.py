"""Values as people read them, in what ``repr`` says and observations tell."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

_UNITS: Final = ("kB", "MB", "GB", "TB")


def address_text(ip: bytes, port: int) -> str:
    """``10.0.1.1:80`` or ``[fd00::1]:80``; ``*:80`` for any address of both families."""
    text = str(ip_address(ip)) if ip else "*"
    return f"[{text}]:{port}" if len(ip) == 16 else f"{text}:{port}"


def size_text(size_bytes: int) -> str:
    """``999 B``, ``1.0 kB``, ``40 kB``, ``3.1 MB``: two digits or more, powers of 1000."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in _UNITS:
        size /= 1000
        if size < 999.5 or unit == _UNITS[-1]:
            break
    return f"{size:.1f} {unit}" if size < 9.95 else f"{size:.0f} {unit}"


def count_text(count: int, thing: str) -> str:
    """``1 subflow``, ``2 subflows``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def described(thing: object, describe: Callable[[], str]) -> str:
    """What ``repr`` says of a thing; one whose making has not come to its end has no more than a name."""
    try:
        text = describe()
    except AttributeError:
        text = "not made yet"
    return f"<{type(thing).__name__} {text}>"
