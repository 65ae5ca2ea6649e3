"""What figures, tables and the report say of networks and parameters is what ran, not an experiment's defaults."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import figures, networks, notebooks, style
from analysis.load import Run, find_runs
from testbed.errors import LabError
from testbed.experiment import Experiment, experiment_class, resolve
from testbed.runs.runner import Plan, Runner, _network
from testbed.show import labels
from testbed.show.progress import Lines
from testbed.spec.templates import load_topology
from tests.testbed.toy import Pretended, Toy

TEMPLATE = """\
{# summary: three paths
parameters:
  rate: {default: 6 Mbit/s, help: of the first}
  loss: {default: 0 %, help: of nothing}
#}
{%- import "macros.j2" as lab -%}
name: {{ topology }}
hosts: [{name: client}, {name: server}]
links:
{%- for i in range(1, 4) %}
{{- lab.link("way" ~ i, lab.host("client", i, "10.0." ~ i, 1, routed=false),
             lab.host("server", i, "10.0." ~ i, 2, routed=false), rate if i == 1 else "10 Mbit/s", "100 kB",
             "280 ms" if i == 3 else "20 ms") }}
{%- endfor %}
"""


@pytest.fixture
def three(tmp_path: Path) -> Path:
    path = tmp_path / "three.yaml.j2"
    path.write_text(TEMPLATE)
    return path


def run(experiment: Experiment, root: Path) -> Run:
    Runner(Plan(experiment, root), Lines(), Pretended().environment).run()
    return find_runs(root)[-1]


def test_words_for_networks() -> None:
    two = load_topology("two-paths", {"rate": "10 Mbit/s,4 Mbit/s", "delay": "10 ms,100 ms"})
    assert labels.network(two) == (
        "two-paths: path1 10 Mbit/s, 10 ms, queue 100 kB; path2 4 Mbit/s, 100 ms, queue 100 kB"
    )
    assert labels.rates_and_delays(two) == "10/4 Mbit/s, 10/100 ms"
    assert labels.network(load_topology("two-paths")) == "two-paths: 2 x 50 Mbit/s, queue 100 kB"
    assert labels.rates_and_delays(load_topology("two-paths")) == "2 x 50 Mbit/s"
    assert labels.rates_and_delays(load_topology("two-paths", {"rate": "10 Mbit/s,none"})) == "10 Mbit/s"
    assert labels.rates_and_delays(load_topology("two-paths", {"rate": "none"})) == "2 x unshaped"
    assert labels.rates_and_delays(load_topology("dumbbell")) == "20 Mbit/s, 10 ms"


def test_another_topology_is_named_wherever_the_experiment_s_own_would_be(tmp_path: Path, three: Path) -> None:
    asked = Toy(Toy.scales["quick"].model_copy(update={"topology": str(three), "sizes": (10, 30)}))
    found = run(asked, tmp_path / "results").manifest
    assert found["title"] == "Toy (on three in place of two-paths)"
    assert found["method"].endswith(
        "Not as the text has it, but as asked for: the topology three.yaml.j2 in place of two-paths, sizes = 10,30."
    )
    (network,) = found["networks"]
    assert network["network"] == (
        "three: way1 6 Mbit/s, 20 ms, queue 100 kB; way2 10 Mbit/s, 20 ms, queue 100 kB;"
        " way3 10 Mbit/s, 280 ms, queue 100 kB"
    )
    assert network["link_names"] == ["way1", "way2", "way3"]
    assert network["factors"] == {"size_bytes": [10, 30]}


def test_what_is_as_the_experiment_has_it_is_said_once(tmp_path: Path) -> None:
    found = run(resolve(Toy, None, []), tmp_path).manifest
    assert found["title"] == "Toy"
    assert "as asked for" not in found["method"]
    assert found["networks"][0]["network"] == "two-paths: 2 x 50 Mbit/s, queue 100 kB"


def of_three(name: str, three: Path, **factors: list[str]) -> Run:
    """The kept run of an experiment, as if it had been on the three paths."""
    kept = notebooks.open_run(name)
    words = _network(load_topology(str(three)))
    return replace(kept, manifest=kept.manifest | {"networks": [{**words, "factors": factors}]})


def test_three_paths_are_three_in_the_figure_of_schedulers(three: Path) -> None:
    found = of_three("schedulers", three, case=["10/4:10/100"])
    drawn = figures.draw(found)
    titles = [axes.get_title("left") for axes in drawn.axes]
    assert "6/10/10 Mbit/s, 20/20/280 ms" in titles
    assert not [title for title in titles if "10/4" in title]
    foot = " ".join(drawn.get_supxlabel().split())
    assert "three: way1 6 Mbit/s, 20 ms, queue 100 kB; way2 10 Mbit/s, 20 ms, queue 100 kB; way3" in foot
    assert "three: way1 6 Mbit/s" in str(figures.table(found).caption)


@pytest.mark.parametrize("name", ["fairness", "bulk-veth", "middleboxes"])
def test_figures_say_on_what_they_were_measured_within_their_width(name: str, three: Path) -> None:
    """One without words at its foot, one with, and one that has its key there."""
    style.apply()
    found = of_three(name, three)
    figure = figures.draw(found)
    figure.set_dpi(72)
    figure.draw_without_rendering()
    texts = [*figure.texts, *(axes.xaxis.label for axes in figure.axes)]
    (foot,) = [text for text in texts if "way3" in text.get_text()]
    box = foot.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y0 >= 0
    assert not [legend for legend in figure.legends if legend.get_window_extent().overlaps(box)]
    assert "way3" in str(figures.table(found).caption)


def test_paths_of_another_network_are_called_as_its_links(three: Path) -> None:
    assert networks.link_name(notebooks.open_run("receive-buffer"), 0, "WiFi", "wifi-3g") == "WiFi"
    found = of_three("receive-buffer", three)
    texts = [text.get_text() for legend in figures.draw(found).legends for text in legend.get_texts()]
    assert "kernel TCP, way1" in texts
    assert "kernel TCP, way2" in texts
    assert not [text for text in texts if "WiFi" in text or "3G" in text]


def test_captions_name_few_networks_and_count_the_rest() -> None:
    found = notebooks.open_run("lossy-link")
    texts = ["one: a", "two: b", "three: c", "four: d"]
    known = [{"network": text} for text in texts]
    captions = [networks.caption(replace(found, manifest={"networks": known[:number]})) for number in range(5)]
    assert captions == [
        "",
        "one: a",
        "one: a; two: b",
        "one: a; two: b; three: c",
        "one: a; two: b; and 2 more networks",
    ]


def test_lines_of_capacity_are_of_the_links_that_ran(three: Path) -> None:
    found = of_three("schedulers", three, case=["10/4:10/100"])
    drawn = figures.draw(found)
    assert [line.get_xdata()[0] for axes in drawn.axes[:1] for line in axes.lines if line.get_linestyle() == "--"] == [
        26
    ]
    fairness = figures.draw(of_three("fairness", three))
    lines = [line for line in fairness.axes[0].lines if line.get_label() == "an equal share"]
    assert [round(line.get_xdata()[0], 1) for line in lines] == [2.9], "half of 6 Mbit/s, without headers"
    shared = _network(load_topology("shared-bottleneck"))
    assert (shared["between_ends_bps"], shared["slowest_bps"]) == ([], 20_000_000)


# --- what a template does not use


def test_a_parameter_that_a_template_declares_and_does_not_use_is_refused(three: Path) -> None:
    assert load_topology(str(three), {"rate": "7 Mbit/s"}).links[0].rate_bps == 7_000_000
    with pytest.raises(LabError, match=r"parameter 'loss' is declared and not used; those in use: rate$"):
        load_topology(str(three), {"loss": "1 %"})


def test_what_another_template_uses_is_used(tmp_path: Path, three: Path) -> None:
    own = tmp_path / "own.yaml.j2"
    own.write_text("{# summary: more\nparameters:\n  idle: {default: 1, help: nothing} #}{% extends 'three.yaml.j2' %}")
    assert load_topology(str(own), {"rate": "7 Mbit/s"}).links[0].rate_bps == 7_000_000
    with pytest.raises(LabError, match=r"parameter 'idle' is declared and not used; those in use: rate$"):
        load_topology(str(own), {"idle": 2})


def test_an_experiment_is_refused_a_template_that_ignores_what_it_varies(tmp_path: Path, three: Path) -> None:
    path = shutil.copy(three, tmp_path / "ignoring.yaml.j2")
    path.write_text(
        TEMPLATE.replace("  loss:", "  delay: {default: 1 ms, help: x}\n  queue: {default: 1 kB, help: x}\n  loss:")
    )
    schedulers = resolve(experiment_class("schedulers"), None, [f"topology={path}"])
    with pytest.raises(LabError, match=r"ignoring\.yaml\.j2: parameter '(delay|queue)' is declared and not used"):
        schedulers.specification()
