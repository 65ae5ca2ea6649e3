"""What can be plugged in, by the name of one of ours or as ``module:Class``, and what a class of a user's must be."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

from mptcp_stack import congestion
from mptcp_stack.congestion import CongestionControl
from mptcp_stack.congestion.coupled import Coupled
from mptcp_stack.mptcp.path_manager import PATH_MANAGERS, PathManager
from mptcp_stack.mptcp.path_manager.retrying import Retrying
from mptcp_stack.mptcp.scheduler import SCHEDULERS, Scheduler

_HOOKS: Final = ("__getattribute__", "__setattr__", "__delattr__")


class Kind(NamedTuple):
    """One kind of plug-ins: ``known`` are ours by name, and ``arguments`` what one is made with.

    ``required``: the method that whoever subclasses one of our classes must have of its own. ``attributes``: what each
    object has. The core, where it is compiled, reads and writes them directly, so that nothing can be put in their
    place, and is not for pure Python.
    """

    title: str
    base: type[Any]
    known: Mapping[str, type[Any]]
    arguments: tuple[str, ...]
    required: Mapping[type[Any], str]
    attributes: tuple[str, ...]


KINDS: Final = {
    "scheduler": Kind("scheduler", Scheduler, SCHEDULERS, ("traffic",), {Scheduler: "select"}, ("traffic",)),
    "congestion": Kind(
        "congestion control",
        CongestionControl,
        congestion.ALGORITHMS,
        ("mss", "group"),
        {CongestionControl: "increase", Coupled: "gain"},
        ("mss", "group", "cwnd", "ssthresh", "srtt_ns", "rtt_ns", "round_trip", "active", "_hystart"),
    ),
    "path_manager": Kind(
        "path manager",
        PathManager,
        PATH_MANAGERS,
        ("connection",),
        {Retrying: "fill"},
        ("connection", "over", "_timer"),
    ),
}
"""By setting."""


def find(setting: str, text: str) -> tuple[Any, str]:
    """What a name of ours, or ``module:Class``, stands for, and the parameter behind it (``:parameter``).

    Raises ValueError with the allowed values.
    """
    kind = KINDS[setting]
    parts = text.split(":")
    if parts[0] in kind.known:
        return kind.known[parts[0]], ":".join(parts[1:])
    if len(parts) < 2:
        raise ValueError(f"{kind.title} {text!r}: not one of {', '.join(kind.known)}, nor module:Class")
    try:
        return getattr(import_module(parts[0]), parts[1]), ":".join(parts[2:])
    except (ImportError, AttributeError) as error:
        problem = ValueError(f"{kind.title} {text!r}: {error}")
        problem.__cause__ = error  # ``raise ... from`` sets it in pure Python alone
        raise problem  # noqa: B904


def what_is_wrong(setting: str, found: object) -> str:
    """Why ``found`` cannot be plugged in; empty when it can."""
    kind = KINDS[setting]
    name = kind.base.__name__
    if not isinstance(found, type) or kind.base not in found.__mro__:
        return f"is not a {name}"
    for base, method in kind.required.items():
        if base in found.__mro__ and getattr(found, method) is getattr(base, method):
            return f"lacks {method} of {base.__name__}"
    lacking = sorted(getattr(found, "__abstractmethods__", ()))
    if lacking:
        return f"lacks {', '.join(lacking)}"
    theirs = [one for one in found.__mro__[: found.__mro__.index(kind.base)] if not _is_ours(one)]
    taken = sorted(_own(kind, found).intersection(name for one in theirs for name in vars(one)))
    return f"has {', '.join(taken)} in place of what each {name} has" if taken else ""


def _own(kind: Kind, found: type[Any]) -> set[str]:
    """What a class of a user's must leave alone: the attributes of our classes above it, and how they are set.

    A compiled class lists its own, those of each scheduler and control as well.
    """
    compiled = [name for one in found.__mro__ if _is_ours(one) for name in vars(one).get("__mypyc_attrs__", ())]
    return {*_HOOKS, *kind.attributes, *compiled} - {"__dict__"}


def _is_ours(one: type[Any]) -> bool:
    return one.__module__.startswith("mptcp_stack.")


def plug(setting: str, text: str) -> Any:
    """What makes the plug-ins of a name of ours, or of ``module:Class``. Raises ValueError."""
    found, parameter = find(setting, text)
    kind = KINDS[setting]
    wrong = what_is_wrong(setting, found)
    if wrong:
        raise ValueError(f"{kind.title} {text!r}: {wrong}")
    if hasattr(kind.base, "configured"):
        return found.configured(parameter)
    if parameter:
        raise ValueError(f"{kind.title} {text!r}: takes no parameter")
    return found
