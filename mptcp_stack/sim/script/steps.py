"""From the text of a script to its steps."""

import re
from ast import literal_eval
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from mptcp_stack.stack import StackConfig

SECOND_NS: Final = 1_000_000_000


class ScriptError(ValueError):
    """The text is not a script; the message is one line with file and line number."""


@dataclass(frozen=True)
class Moment:
    """When a step happens: at ``seconds``, counted from the step before if ``relative``; None: at any time."""

    seconds: float | None
    relative: bool

    def after(self, previous_ns: int) -> int | None:
        """In nanoseconds of the script's clock; None: at any time."""
        if self.seconds is None:
            return None
        return round(self.seconds * SECOND_NS) + (previous_ns if self.relative else 0)


@dataclass(frozen=True)
class Step:
    """One line: ``kind`` is ``in``, ``out``, ``call`` or ``assert``, ``text`` what follows the time."""

    line: int
    moment: Moment
    kind: str
    text: str


@dataclass(frozen=True)
class Script:
    """A parsed script. ``settings`` are fields of ``StackConfig``; the others are described in the documentation."""

    name: str
    steps: tuple[Step, ...]
    settings: dict[str, Any]
    local: int = 1
    remote_isn: int = 0
    ip_version: int = 4
    tolerance_ns: int = 1_000_000


_TIME: Final = re.compile(r"(?P<any>\*)|(?P<relative>\+?)(?P<seconds>\d*\.?\d+)")
_KINDS: Final = (("<", "in"), (">", "out"), ("%{", "assert"))
_OPTIONS: Final = {"local": int, "remote_isn": int, "ip_version": int, "tolerance_usecs": int}
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)


def parse(text: str, name: str = "script") -> Script:
    """Read a script. Raises ScriptError."""
    settings: dict[str, Any] = {"timestamps": False, "pacing": False}
    options: dict[str, int] = {}
    steps: list[Step] = []
    text = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)
    for number, line in enumerate(_joined(text), 1):
        line = line.split("//")[0].strip()
        if line.startswith("--"):
            _read_option(line[2:], settings, options, f"{name}:{number}")
        elif line:
            steps.append(_read_step(line, number, f"{name}:{number}"))
    tolerance_ns = options.pop("tolerance_usecs", 1000) * 1000
    return Script(name, tuple(steps), settings, tolerance_ns=tolerance_ns, **options)


def load(path: Path) -> Script:
    """Read a script file. Raises ScriptError and OSError."""
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise ScriptError(f"{path}: is no text ({error})") from None
    return parse(text, str(path))


def _joined(text: str) -> list[str]:
    """Lines; one that ends in a backslash goes on in the next, which stays empty to keep the numbers."""
    lines = text.split("\n")
    for index in range(len(lines) - 2, -1, -1):
        if lines[index].rstrip().endswith("\\"):
            lines[index] = lines[index].rstrip()[:-1] + " " + lines[index + 1].strip()
            lines[index + 1] = ""
    return lines


def _read_option(text: str, settings: dict[str, Any], options: dict[str, int], where: str) -> None:
    name, _, value = text.partition("=")
    if name.startswith("set "):
        field = name.removeprefix("set ").strip()
        known = sorted(field.name for field in fields(StackConfig))
        if field not in known:
            raise ScriptError(f"{where}: --set {field}: not one of {', '.join(known)}")
        settings[field] = _value(value)
        return
    if name not in _OPTIONS:
        raise ScriptError(f"{where}: --{name}: not one of set, {', '.join(_OPTIONS)}")
    try:
        options[name] = int(value)
    except ValueError:
        raise ScriptError(f"{where}: --{name}: {value!r} is not a number") from None


def _value(text: str) -> Any:
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _read_step(line: str, number: int, where: str) -> Step:
    time = _TIME.match(line)
    if time is None:
        raise ScriptError(f"{where}: must begin with a time such as 0.1, +0.1 or *")
    seconds = None if time["any"] else float(time["seconds"])
    moment = Moment(seconds, bool(time["relative"]))
    rest = line[time.end() :].strip()
    for sign, kind in _KINDS:
        if rest.startswith(sign):
            text = rest[len(sign) :].strip()
            if kind == "assert":
                if not text.endswith("}%"):
                    raise ScriptError(f"{where}: must end with }}%")
                text = text[:-2].strip()
            return Step(number, moment, kind, text)
    return Step(number, moment, "call", rest)
