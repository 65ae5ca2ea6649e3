"""Topologies for people: the text says everything, the drawing is written, documents name every parameter."""

from pathlib import Path

import pytest
from matplotlib import rc_context

from testbed.errors import LabError
from testbed.show import labels, text
from testbed.show.console import table_console
from testbed.show.drawing import draw
from testbed.show.layout import positions
from testbed.spec.templates import load_topology, template_header, topology_names

DOCUMENT = Path(__file__).parents[2] / "docs" / "topologies.md"


def shown(renderable):
    console = table_console()
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.mark.parametrize("name", topology_names())
def test_the_text_names_every_interface_address_and_link(name):
    topology = load_topology(name)
    said = shown(text.describe(topology))
    for link in topology.links:
        assert link.name in said
        for end in link.ends:
            assert end.interface in said
            assert all(str(address) in said for address in end.addresses)


@pytest.mark.parametrize("name", topology_names())
def test_no_two_hosts_are_drawn_at_one_place(name, tmp_path):
    topology, layout = load_topology(name), template_header(name).layout
    places = positions(topology, layout)
    assert len({(round(x, 1), round(y, 1)) for x, y in places.values()}) == len(topology.hosts)
    draw(topology, layout, tmp_path / "drawing.svg")
    drawn = (tmp_path / "drawing.svg").read_text()
    assert all(f">{host.name}<" in drawn for host in topology.hosts)


def test_client_is_drawn_left_of_the_routers_and_server_right_of_them():
    places = positions(load_topology("dumbbell"), "left-to-right")
    columns = {name: round(x) for name, (x, _) in places.items()}
    assert columns["client"] == columns["rival1"] < columns["left"] < columns["right"] < columns["peer1"]
    assert columns["peer1"] == columns["server"]


def test_parallel_links_are_drawn_apart(tmp_path):
    topology = load_topology("two-paths", {"paths": 3})
    draw(topology, "left-to-right", tmp_path / "drawing.svg")
    drawn = (tmp_path / "drawing.svg").read_text()
    assert all(f">{address}<" in drawn for address in ("10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.3.2"))


@pytest.mark.parametrize("settings", [{"text.usetex": True}, {"figure.facecolor": "black", "font.size": 30}])
def test_the_users_matplotlibrc_changes_no_drawing(tmp_path, settings):
    draw(load_topology("two-paths"), "left-to-right", tmp_path / "plain.png")
    with rc_context(settings):
        draw(load_topology("two-paths"), "left-to-right", tmp_path / "styled.png")
    assert (tmp_path / "styled.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_a_link_in_words():
    link = load_topology("two-paths", {"rate": "1.5 Mbit/s", "delay": "2.5 ms", "loss": "1 %"}).links[0]
    assert labels.link(link) == "1.5 Mbit/s, 2.5 ms, loss 1 %, queue 100 kB"
    boxed = load_topology("two-paths", {"middleboxes": "[{kind: nat}]"}).links[0]
    assert labels.link(boxed).endswith("middleboxes at client: nat")
    assert labels.link(load_topology("two-paths", {"rate": "none"}).links[0]) == "unshaped"


def test_what_changes_over_time_is_in_the_text():
    said = shown(text.describe(load_topology("handover"))).splitlines()
    assert (
        "wifi changes: at 4 s over 2 s 1 Mbit/s, loss 20 %; at 6 s down; at 12 s 8 Mbit/s, loss 0 %; at 12 s up" in said
    )


@pytest.mark.parametrize(
    ("file", "message"),
    [("drawing.gif", "must end in one of .svg, .png, .pdf"), ("none/drawing.svg", "No such file or directory")],
)
def test_a_drawing_that_cannot_be_written_is_one_line(tmp_path, file, message):
    with pytest.raises(LabError, match=message):
        draw(load_topology("two-paths"), "left-to-right", tmp_path / file)


def test_the_list_has_every_topology_and_parameter():
    said = "\n".join(shown(text.describe_template(name, template_header(name))) for name in topology_names())
    document = DOCUMENT.read_text()
    for name in topology_names():
        assert f"{name}: {template_header(name).summary[:40]}" in said
        assert f"`{name}`" in document
        for parameter in template_header(name).parameters:
            assert f"  {parameter} = " in said
            assert f"`{parameter}`" in document
