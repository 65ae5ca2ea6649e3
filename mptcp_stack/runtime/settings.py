"""Settings of a stack as words, `name=value`, read by the type that the field of `NetworkConfig` has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mptcp_stack.mptcp.plugins import KINDS, find, plug, what_is_wrong

from .blame import blamed, check_class, defined_at, place_of
from .config import ConfigError, NetworkConfig

_SWITCH = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}
_UNITS = {
    "_ns": {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9},
    "_bytes": {"B": 1, "kB": 10**3, "MB": 10**6, "KiB": 1 << 10, "MiB": 1 << 20},
}
_NOT_A_SETTING = {"addresses", "tun_name"}


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` texts as arguments of `NetworkConfig`; the last of several with one name counts.

    Switches are `on` or `off`; times and sizes may carry a unit: `40ms`, `4MiB`. Raises ConfigError: no such
    setting, or a value that is not of its type. That plug-ins can be used `check_plugin` sees.
    """
    types = _types()
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"setting {text!r}: must be name=value")
        if name not in types:
            raise ConfigError(f"setting {name!r}: no such setting; there are {', '.join(sorted(types))}")
        settings[name] = _read(name, types[name], value)
    return settings


def check_plugin(setting: str, text: str) -> None:
    """See that the `scheduler`, `congestion` or `path_manager` of that name, or `module:Class`, can be used.

    Raises ConfigError, one line, with the allowed names, or the file and line of what is wrong in a user's.
    """
    kind = KINDS[setting]
    try:
        found, _ = find(setting, text)
    except ValueError as error:
        cause = _cause(error.__cause__)
        raise ConfigError(f"{error} ({cause})" if cause else str(error)) from error
    except Exception as error:
        raise ConfigError(f"{kind.title} {text!r}: {blamed(error)}") from error
    wrong = what_is_wrong(setting, found)
    if wrong and isinstance(found, type):
        wrong += f" ({defined_at(found)})"
    if wrong := wrong or check_class(found, kind.base, kind.arguments):
        raise ConfigError(f"{kind.title} {text!r}: {wrong}")
    try:
        plug(setting, text)
    except Exception as error:
        ours = isinstance(error, ValueError) and place_of(error) is None
        raise ConfigError(str(error) if ours else f"{kind.title} {text!r}: {blamed(error)}") from error


def _cause(error: BaseException | None) -> str:
    """What is to be said of a module that could not be imported beside the error's own words."""
    if isinstance(error, ModuleNotFoundError):
        return "is its directory in PYTHONPATH?"
    return blamed(error) if error is not None and (isinstance(error, ImportError) or place_of(error)) else ""


def _types() -> dict[str, Any]:
    """The type of every field that a word can set."""
    hints = get_type_hints(NetworkConfig)
    names = [one.name for one in fields(NetworkConfig) if one.init and one.name not in _NOT_A_SETTING]
    return {name: hints[name] for name in names if hints[name] in _READERS or get_origin(hints[name]) is Literal}


def _read(name: str, kind: Any, value: str) -> Any:
    if get_origin(kind) is Literal:
        return _choose(name, {str(choice): choice for choice in get_args(kind)}, value)
    return _READERS[kind](name, value)


def _choose(name: str, choices: Mapping[str, Any], value: str) -> Any:
    if value not in choices:
        raise ConfigError(f"setting {name}: must be {' or '.join(choices)}, not {value!r}")
    return choices[value]


def _read_switch(name: str, value: str) -> bool:
    if value.lower() not in _SWITCH:
        raise ConfigError(f"setting {name}: must be on or off, not {value!r}")
    return _SWITCH[value.lower()]


def _read_number(name: str, value: str) -> int:
    units = next((units for suffix, units in _UNITS.items() if name.endswith(suffix)), {})
    number = value.rstrip("".join(units))
    unit = value[len(number) :]
    allowed = f", alone or with one of {', '.join(units)}" if units else ""
    try:
        if unit and unit not in units:
            raise ValueError
        exact = float(number) * units[unit] if unit else int(number)
    except ValueError:
        raise ConfigError(f"setting {name}: must be a whole number{allowed}, not {value!r}") from None
    if not 0 <= exact < float("inf"):
        raise ConfigError(f"setting {name}: must not be less than zero or infinite, as {value!r} is")
    return round(exact)


def _read_seconds(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ConfigError(f"setting {name}: must be a number, not {value!r}") from None
    if not 0 <= number < float("inf"):
        raise ConfigError(f"setting {name}: must not be less than zero or infinite, as {value!r} is")
    return number


_READERS: dict[Any, Callable[[str, str], Any]] = {
    bool: _read_switch,
    int: _read_number,
    float: _read_seconds,
    str: lambda name, value: value,
}
