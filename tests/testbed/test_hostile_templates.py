"""Templates that have no end, or are none: one line, soon."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.errors import LabError
from testbed.spec import templates
from testbed.spec.templates import load_topology, template_header

HEADER = "{#- summary: x -#}\n"
BODY = "name: x\nhosts: [{name: client}, {name: server}]\nlinks: []\n"
DEEP = 3000

FILES: dict[str, tuple[str | bytes, str]] = {
    "extends itself": (HEADER + '{% extends "t.yaml.j2" %}', "nested too deeply"),
    "includes itself": (HEADER + '{% include "t.yaml.j2" %}', "nested too deeply"),
    "calls itself": (HEADER + "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deeply"),
    "deep expression": (HEADER + "{{ " + "(" * DEEP + "1" + ")" * DEEP + " }}", "nested too deeply"),
    "deep": (HEADER + "links: " + "[" * 1000, "nested too deeply"),
    "deep header": ("{#- summary: " + "[" * 1000 + " -#}\n" + BODY, "nested too deeply"),
    "binary": (bytes(range(256)), "can't decode byte"),
    "binary behind its header": (HEADER.encode() + b"\xff", "can't decode byte"),
    "a loop": (HEADER + "{% for i in range(10**9) %}{% endfor %}", "Range too big"),
    "loops in loops": (HEADER + "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3, "a loop without an end?"),
    "much text": (HEADER + "{% for i in range(99999) %}" * 2 + "x" * 99 + "{% endfor %}" * 2, "bytes of text"),
    "a power": (HEADER + "{{ 9**9**9 }}", "a number without an end"),
    "a long text": (HEADER + "{{ 'x' * 10**12 }}", "a text without an end"),
    "a long list": (HEADER + "{{ 10**12 * [1] }}", "a text without an end"),
    "a program": (HEADER + "{{ ''.__class__.__mro__ }}", "unsafe"),
    "many digits": (HEADER + "name: " + "9" * 5000, "4300 digits"),
    "no date": (HEADER + "name: 2020-13-45", "month must be in 1..12"),
    "many hosts": (HEADER + "name: x\nhosts: [" + "{name: h}," * 501 + "]\nlinks: []", "at most 500 items"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_a_template_without_an_end_is_one_line(tmp_path: Path, monkeypatch, text: str | bytes, message: str) -> None:
    monkeypatch.setattr(templates, "_LIMIT_S", 3.0)
    path = tmp_path / "t.yaml.j2"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LabError) as caught:
        load_topology(str(path))
    assert caught.value.message.startswith(str(path))
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_no_template(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "t.yaml.j2"
    make(path)
    with pytest.raises(LabError, match="no such topology file"):
        template_header(str(path))


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.write_text("1\n" * 2**24)]
)
def test_a_trace_has_an_end(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "t.trace")
    with pytest.raises(LabError) as caught:
        load_topology("two-paths", {"rate": "none", "middleboxes": f"[]\n    trace: {tmp_path}/t.trace"})
    assert "t.trace" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_text_that_is_included_and_none_is_one_line(tmp_path: Path) -> None:
    header = "{#- summary: x\nparameters:\n  rate: {default: 1 Mbit/s, help: x}\n-#}\n"
    (tmp_path / "t.yaml.j2").write_text(header + "{% include 'part.j2' %}{{ rate }}\n" + BODY)
    (tmp_path / "part.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(LabError, match="can't decode byte"):
        load_topology(str(tmp_path / "t.yaml.j2"), {"rate": "2 Mbit/s"})
