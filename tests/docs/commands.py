"""Commands that the documentation tells to type: README.md, CONTRIBUTING.md, docs/*.md, and the tops of examples.

A command is a line of a fenced block without a language that begins with `./lab`, `python`, or `sudo` and one of these;
in an example a block is what is indented. A block ```` ```prompt TOPOLOGY ```` is typed at the prompt of
`./lab shell TOPOLOGY`. Capitals stand for something of the reader's.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^(?: {4}.*\n)+", re.MULTILINE)
_START = re.compile(r"(sudo (-E )?)?([A-Z_]+=\S* )*(sudo (-E )?)?(\./lab|\.venv/bin/\S+|python3?|vagrant) ")
_INLINE = re.compile(r"`((?:[A-Z_]+=\S* )?(?:sudo (?:-E )?)?(?:\./lab|(?:\.venv/bin/)?python -m) [^`]+)`")
PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]{2,}\b|\.\.\.|\[")
"""What a reader puts something of their own in place of."""


class Command(NamedTuple):
    """A line to type, or with `prompt` (the arguments of `./lab shell`) several; where it stands."""

    document: str
    line: int
    text: str
    prompt: str | None = None
    fenced: bool = True

    @property
    def words(self) -> list[str]:
        """Its words without sudo, settings of the environment, and what follows of the shell's."""
        words = shlex.split(self.text, comments=True)
        while words and (words[0] in ("sudo", "-E") or re.fullmatch(r"[A-Z_]+=.*", words[0])):
            words.pop(0)
        shell = next((place for place, word in enumerate(words) if word in (">", "|", "<", "&&", ";")), len(words))
        return words[:shell]


def documents() -> list[Path]:
    """The documents, README first."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *examples()]


def examples() -> list[Path]:
    """The examples that say how they are run; a trace says nothing."""
    folder = ROOT / "examples"
    return sorted([*folder.glob("*.py"), *folder.glob("*.j2")])


def blocks(document: Path) -> Iterator[tuple[str, int, str]]:
    """Language, first line and text of each fenced block; of each indented one where an example says how it is run."""
    if document.suffix != ".md":
        text = said(document)
        for found in _INDENTED.finditer(text):
            yield "", text.count("\n", 0, found.start()) + 1, textwrap.dedent(found[0])
        return
    text = document.read_text()
    for found in _BLOCK.finditer(text):
        yield found[1].strip(), text.count("\n", 0, found.start()) + 2, found[2]


def said(example: Path) -> str:
    """What an example says at its top, on the lines that it stands on."""
    text = example.read_text()
    if example.suffix == ".py":
        return text.split('"""')[1]
    return re.sub(r"^# ?", "", text.partition("-#}")[0], flags=re.MULTILINE)


def commands(document: Path) -> list[Command]:
    """Every command of a document, those in the middle of a sentence last."""
    name, text = str(document.relative_to(ROOT)), document.read_text() if document.suffix == ".md" else said(document)
    found = []
    for language, line, body in blocks(document):
        if language.startswith("prompt "):
            found.append(Command(name, line, body, language.removeprefix("prompt ")))
        elif language in ("", "sh", "console"):
            whole = re.sub(r"\\\n", lambda _: "\\\0", body)
            number = line
            for one in whole.splitlines():
                if _START.match(one):
                    found.append(Command(name, number, one.replace("\\\0", "")))
                number += 1 + one.count("\0")
    text = _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    for match in _INLINE.finditer(text):
        found.append(Command(name, text.count("\n", 0, match.start()) + 1, " ".join(match[1].split()), fenced=False))
    return found
