"""Middleboxes in a topology: found by name, validated, and told apart from what is wrong."""

import pytest

from testbed.errors import LabError
from testbed.input.validation import validate
from testbed.middleboxes.base import Middlebox
from testbed.middleboxes.registry import middlebox_class, names, validated
from testbed.spec import Topology
from testbed.spec.templates import load_topology
from tests.testbed.lab_run import ROOT
from tests.testbed.middleboxes.wire import FORWARD, MS, Line


class Mute(Middlebox):
    """A middlebox of a user's own."""

    def on_segment(self, segment, direction, now_ns):
        return []


def topology(*boxes, **link):
    ends = [
        {"host": host, "interface": f"{host}-eth1", "address": f"10.0.1.{number}/24"}
        for number, host in enumerate(("client", "server"), 1)
    ]
    link = {"name": "path1", "ends": ends, "middleboxes": list(boxes), **link}
    return validate(Topology, {"name": "t", "hosts": [{"name": "client"}, {"name": "server"}], "links": [link]}, "t")


@pytest.mark.parametrize("name", names())
def test_each_works_with_its_defaults(name):
    link = topology({"kind": name}).links[0]
    assert link.kind == "emulator"
    assert link.middleboxes[0]["kind"] == name
    assert validated(link.middleboxes[0]) == link.middleboxes[0]  # as the emulator gets it
    assert middlebox_class(name).__doc__


def test_a_users_own_is_named_by_its_class():
    place = f"{__name__}:Mute"
    assert topology({"kind": place}).links[0].middleboxes[0] == {"kind": place, "direction": "both"}


def test_the_documented_one_works(tmp_path, monkeypatch):
    code = (ROOT / "docs/middleboxes.md").read_text().partition("```python")[2].partition("```")[0]
    (tmp_path / "my_boxes.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    line = Line({"kind": "my_boxes:LateFin", "wait": "1 s"})
    assert line.segment(payload=b"x")
    assert line.onward(line.tcp(flags="FA")) == []
    assert line.wait(999 * MS) == []
    ((way, fin),) = line.wait(MS)
    assert (way, fin["TCP"].flags) == (FORWARD, "FA")


@pytest.mark.parametrize(
    ("boxes", "link", "message"),
    [
        ([{"kind": "nats"}], {}, "middleboxes[0].kind: unknown middlebox 'nats', did you mean nat?"),
        ([{"kind": "nat"}, {}], {}, "middleboxes[1].kind: is required: a name and parameters"),
        ([{"kind": "nat", "timeout": "soon"}], {}, 'middleboxes[0].timeout: must look like "10 ms"'),
        ([{"kind": "split", "bytes": 5}], {}, "middleboxes[0].bytes: unknown field 'bytes'; allowed: direction, size"),
        ([{"kind": "strip-option", "option": "x"}], {}, "middleboxes[0].option: unknown option 'x'; allowed: mss"),
        ([{"kind": "strip-option", "subtypes": ["x"]}], {}, "middleboxes[0].subtypes: unknown subtype 'x'"),
        ([{"kind": "strip-option", "option": "sack", "subtypes": ["dss"]}], {}, "middleboxes[0].subtypes: are those"),
        ([{"kind": "no.such:Thing"}], {}, "middleboxes[0].kind: middlebox 'no.such:Thing': No module named 'no'"),
        (
            [{"kind": "nat"}],
            {"backend": "tc", "rate": "1 Mbit/s", "queue": "9999 B"},
            "backend: tc cannot do middleboxes",
        ),
        ([{"kind": "nat"}], {"wire": "super-segments"}, "wire: a shaped link carries single packets"),
    ],
)
def test_a_mistake_is_one_line(boxes, link, message):
    with pytest.raises(LabError) as refused:
        topology(*boxes, **link)
    assert refused.value.message.startswith(f"t: links[0].{message}")


def test_a_template_puts_them_on_chosen_paths():
    boxes = "[{kind: mss-clamp, mss: 1000}, {kind: nat}]"
    links = load_topology("two-paths", {"middleboxes": boxes, "boxed": "2", "paths": 3}).links
    assert [[box["kind"] for box in link.middleboxes] for link in links] == [[], ["mss-clamp", "nat"], []]
    links = load_topology("two-paths", {"middleboxes": boxes}).links
    assert all(link.middleboxes for link in links)
