import io
import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.image import imread

from analysis import figures
from analysis.figures import ab_microflows
from analysis.load import UnreadableRun, find_runs, load_run
from analysis.metrics import Crossover, crossover, paired_interval, ratio_to, summarise
from analysis.style import LOOKS, look

KEPT = Path(figures.__file__).parents[1] / "notebooks" / "results"
STACKS = ["kernel-tcp", "kernel-mptcp", "python-mptcp"]
SUMMARY = {
    "outcome": "passed", "why": [], "began": "", "seconds": 1.0, "seed": 1, "session": 0, "lab": 0, "placement": {},
}  # fmt: skip
"""What a manifest says of a point."""


def write_run(root: Path, name: str, figure: str, parameters: dict, rows: list[dict], **manifest: object) -> Path:
    path = root / name / "0123456789ab"
    path.mkdir(parents=True)
    document = {
        "format": 1,
        "experiment": name,
        "title": name,
        "figure": figure,
        "hash": path.name,
        "specification": {"parameters": parameters},
        "stacks": STACKS,
        "sessions": [{"began": "2026-01-01T00:00:00.000+00:00"}],
    }
    (path / "manifest.json").write_text(json.dumps(document | manifest))
    pd.DataFrame(rows).to_csv(path / "results.csv", index=False)
    return path


@pytest.fixture
def microflows(tmp_path: Path) -> Path:
    rows = [
        {
            "stack": stack,
            "repetition": repetition,
            "size_bytes": size,
            "generator": generator,
            "outcome": "passed",
            "why": "",
            "requests_per_s": (index + 1) * 5_000_000 / size + repetition,
            "failed": 0,
        }
        for index, stack in enumerate(STACKS)
        for size in (1_000, 30_000, 300_000)
        for repetition in (1, 2)
        for generator in (("loadgen", "ab") if stack.startswith("kernel") else ("loadgen",))
    ]
    rows[-1] |= {"outcome": "failed", "why": "1 of 200 requests failed", "failed": 1}
    parameters = {"paths": 2, "rate": 50_000_000, "concurrency": 100}
    return write_run(tmp_path, "quickstart", "ab_microflows", parameters, rows)


@pytest.fixture
def bulk(tmp_path: Path) -> Path:
    rows = [
        {
            "stack": stack,
            "repetition": repetition,
            "wire": wire,
            "generator": generator,
            "outcome": "passed",
            "why": "",
            "throughput_bps": rate * 1e9 + repetition * 1e8,
        }
        for wire in ("super-segments", "mtu")
        for repetition in (1, 2, 3)
        for stack, generator, rate in (
            ("kernel-mptcp", "loadgen", 8),
            ("kernel-mptcp", "iperf3", 16),
            ("python-mptcp", "loadgen", 4),
        )
    ]
    return write_run(tmp_path, "bulk-veth", "bulk_veth", {"paths": 2, "seconds": 4.0}, rows)


def text_of(path: Path) -> str:
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(figures.table(load_run(path)))
    return console.export_text()


@pytest.mark.parametrize("kind", ["microflows", "bulk"])
def test_figure_is_drawn_as_png_and_pdf(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    png, pdf = figures.save(load_run(request.getfixturevalue(kind)), tmp_path / "figures")
    image = imread(png)
    height, width = image.shape[:2]
    assert width == pytest.approx(3.5 * 300, abs=2)
    assert 600 < height < 1200
    assert len({tuple(pixel) for pixel in image[::7, ::7].reshape(-1, image.shape[2])}) > 5, "more than a blank page"
    assert pdf.read_bytes().startswith(b"%PDF")


def test_same_results_give_the_same_files(microflows: Path, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in figures.save(load_run(microflows), tmp_path / "a")]
    second = [path.read_bytes() for path in figures.save(load_run(microflows), tmp_path / "b")]
    assert first == second


@pytest.mark.parametrize(
    "settings",
    [{"text.usetex": True}, {"axes.facecolor": "black", "savefig.transparent": True, "lines.linewidth": 9}],
)
def test_the_users_matplotlibrc_changes_no_picture(microflows: Path, tmp_path: Path, settings: dict) -> None:
    plain = [path.read_bytes() for path in figures.save(load_run(microflows), tmp_path / "a")]
    with rc_context(settings):
        styled = [path.read_bytes() for path in figures.save(load_run(microflows), tmp_path / "b")]
    assert styled == plain


def test_microflow_figure_has_a_line_a_stack_and_says_what_it_shows(microflows: Path) -> None:
    from analysis.figures.ab_microflows import draw

    figure = draw(load_run(microflows))
    (axes,) = figure.axes
    assert "kB" in axes.get_xlabel()
    assert axes.get_ylabel() == "requests/s"
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["kernel TCP", "kernel MPTCP", "Python MPTCP", "ab and Apache"]
    assert axes.get_title(loc="left") == "2 x 50 Mbit/s"
    assert "n = 1 to 2 (ab: n = 2)" in figure.get_supxlabel(), "a failed point is not in the mean"


def test_lines_are_at_the_sizes_and_markers_beside_them(microflows: Path) -> None:
    """Lines that had been moved aside crossed elsewhere than the table says, and a slower stack looked faster."""
    from analysis.figures.ab_microflows import draw

    (axes,) = draw(load_run(microflows)).axes
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    assert {line.get_color() for line in lines} == {look(stack).color for stack in ("kernel-tcp", "python-mptcp")} | {
        look("kernel-mptcp").color
    }
    assert all(line.get_transform() == axes.transData and line.get_marker() == "None" for line in lines)
    markers = [line for line in axes.lines if line.get_marker() in "osv" and line.get_linestyle() == "None"]
    assert len({line.get_transform().transform((1, 1))[0] for line in markers}) > 1


def test_microflow_table_has_means_ratios_and_failures(microflows: Path) -> None:
    text = text_of(microflows)
    lines = {tuple(line.split()[:4]): line for line in text.splitlines() if "kB" in line}
    line = lines["300", "kB", "kernel", "MPTCP"]
    assert "34.8 ± 0.7" in line
    assert "1.92" in line
    assert lines["300", "kB", "Python", "MPTCP"].split()[-2:] == ["1", "failed"]


def test_bulk_table_has_both_ratios(bulk: Path) -> None:
    (line,) = [line for line in text_of(bulk).splitlines() if "Python" in line and "1500 B" in line]
    assert "4.20 ± 0.10" in line
    assert "0.51" in line
    assert "0.26" in line


def test_points_without_a_number_are_shown_by_their_outcome(tmp_path: Path) -> None:
    row = {"stack": "kernel-tcp", "repetition": 1, "size_bytes": 1000, "generator": "loadgen", "why": "no"}
    rows = [
        row | {"outcome": "passed", "requests_per_s": 5.0, "failed": 0},
        row | {"stack": "kernel-mptcp", "outcome": "unsupported"},
    ]
    path = write_run(tmp_path, "q", "ab_microflows", {"paths": 2, "rate": 10**9, "concurrency": 1}, rows)
    assert "unsupported" in text_of(path)


def test_unequal_links_get_a_panel_of_their_own_and_a_busy_thread_a_mark(tmp_path: Path) -> None:
    from analysis.figures.ab_microflows import crossovers, draw

    rates = {
        ("equal", "kernel-tcp"): (900, 90),
        ("equal", "kernel-mptcp"): (450, 180),
        ("unequal", "kernel-tcp"): (900, 90),
        ("unequal", "kernel-mptcp"): (450, 45),
    }
    rows = [
        {
            "stack": stack,
            "repetition": repetition,
            "links": links,
            "size_bytes": size,
            "generator": "loadgen",
            "outcome": "passed",
            "why": "",
            "requests_per_s": rate * repetition,
            "requests": 1234,
            "cores_busy_share": 0.7,
            "busiest_thread_share": 0.97 if links == "equal" else 0.6,
            "failed": 0,
        }
        for (links, stack), each in rates.items()
        for repetition in (1, 2)
        for size, rate in zip((1_000, 100_000), each, strict=True)
    ]
    parameters = {
        "paths": 2, "rate": 10**9, "slow_rate": 10**8, "concurrency": 100, "seconds": 4.0, "requests": 100_000,
    }  # fmt: skip
    path = write_run(tmp_path, "m", "ab_microflows", parameters, rows, stacks=["kernel-tcp", "kernel-mptcp"])
    run = load_run(path)
    assert [axes.get_title(loc="left") for axes in draw(run).axes] == ["2 x 1 Gbit/s", "1 Gbit/s and 100 Mbit/s"]
    assert crossovers(run, "equal")["kernel"].at == pytest.approx(10_000)
    assert crossovers(run, "unequal")["kernel"].at is None
    text = " ".join(text_of(path).split())
    assert "MPTCP overtakes TCP (kernel, equal links): between 1 and 100 kB, near 10 kB (all 2 repetitions)" in text
    assert "(kernel, unequal links): not in this range: behind at the largest size" in text
    assert text.count("97%*") == 4
    assert "1,234" in text


SIZES = [1.0, 10.0, 100.0, 1000.0]


def crossing(*repetitions: list[float]) -> Crossover:
    """Where rates that are these multiples of 100 overtake 100."""
    ours = pd.DataFrame(dict(enumerate(repetitions, 1)), index=SIZES)
    return crossover(100 * ours, 0 * ours + 100)


def test_crossover_is_between_the_sizes_that_every_repetition_needs() -> None:
    found = crossing([0.5, 1.5, 0.5, 2.0], [0.5, 0.5, 0.5, 2.0])
    assert found.between == (100, 1000)
    assert found.at == pytest.approx(10**2.5)
    assert found.text("kB", 1) == "between 100 and 1,000 kB, near 316 kB (all 2 repetitions)"
    wider = crossing([0.5, 0.9, 1.5, 2.0], [0.5, 1.2, 1.5, 2.0])
    assert wider.between == (1, 100)


def test_no_crossover_unless_the_means_and_every_repetition_cross() -> None:
    never, always = [0.5, 0.6, 0.9, 0.95], [1.5, 1.6, 1.9, 1.95]
    assert crossing(never, never).text("kB", 1) == "not in this range: behind at the largest size"
    assert crossing(always, always).text("kB", 1) == "not in this range: ahead at every size"
    once = crossing([0.5, 0.6, 0.9, 1.4], [0.5, 0.6, 0.9, 0.95])  # the means cross, one repetition does not
    assert (once.at, once.text("kB", 1)) == (None, "not determined: the 2 repetitions disagree")
    below = crossing([0.5, 0.6, 0.9, 1.01], [0.5, 0.6, 0.9, 0.95])  # as the kept results had it: n = 1 of 2
    assert (below.at, below.text("kB", 1)) == (None, "not determined: the 2 repetitions disagree")
    assert crossing([0.5, 2.0, 2.0, 2.0]).text("kB", 1) == "not determined: 1 repetition"


@pytest.mark.parametrize("path", [KEPT / "ab-microflows", KEPT / "quickstart"], ids=lambda path: path.name)
def test_no_crossover_of_kept_results_is_where_the_means_do_not_cross(path: Path) -> None:
    """Nor outside what was measured, nor with an exponent."""
    run = load_run(path)
    means = ab_microflows.summary(run)
    means = means[means["generator"] == "loadgen"].set_index(["links", "size_bytes", "stack"])["mean"]
    for links in means.index.unique("links"):
        sizes = sorted(means[links].index.unique("size_bytes"))
        for making, found in ab_microflows.crossovers(run, links).items():
            assert "e+" not in found.text("kB", 1000)
            if found.between is not None:
                low, high = found.between
                assert sizes[0] <= low < found.at < high <= sizes[-1]
                for size in sizes:
                    mptcp, tcp = (means[links, size, stack] for stack in ab_microflows.PAIRS[making])
                    assert (size > low) or mptcp <= tcp
                    assert (size < high) or mptcp > tcp


def test_where_mptcp_overtakes_is_in_the_legend_and_covers_no_panel(tmp_path: Path) -> None:
    def drawn(sizes: dict[int, float]) -> tuple[list[str], list[list[float]]]:
        rows = [
            {"stack": stack, "repetition": repetition, "links": "equal", "size_bytes": size, "generator": "loadgen"}
            | {"outcome": "passed", "why": "", "requests_per_s": rate}
            for size, ratio in sizes.items()
            for stack, rate in (("kernel-tcp", 100.0), ("kernel-mptcp", 100 * ratio))
            for repetition in (1, 2)
        ]
        parameters = {"paths": 2, "rate": 50_000_000, "concurrency": 100, "requests": 1}
        run = load_run(write_run(tmp_path / str(sum(sizes.values())), "quickstart", "ab_microflows", parameters, rows))
        figure = figures.draw(run)
        return [text.get_text() for text in figure.legends[0].get_texts()], [
            list(line.get_xdata())
            for line in figure.axes[0].lines
            if line.get_transform() == figure.axes[0].get_xaxis_transform()
        ]

    labels, (bracket, (at,)) = drawn({1000: 0.5, 10_000: 0.9, 100_000: 2.0})
    assert labels == ["kernel TCP", "kernel MPTCP", "kernel: MPTCP overtakes"]
    assert (bracket, at) == ([10_000, 100_000], pytest.approx(13_550, abs=1))
    assert drawn({1000: 0.5, 10_000: 0.8, 100_000: 0.9}) == (["kernel TCP", "kernel MPTCP"], [])


def test_summary_of_repetitions() -> None:
    frame = pd.DataFrame({"stack": ["a", "a", "a", "b"], "rate": [1.0, 2.0, 3.0, 8.0]})
    summary = summarise(frame, ["stack"], "rate")
    assert summary.to_dict("records") == [
        {"stack": "a", "n": 3, "mean": 2.0, "sd": 1.0, "min": 1.0, "max": 3.0},
        {"stack": "b", "n": 1, "mean": 8.0, "sd": 0.0, "min": 8.0, "max": 8.0},
    ]


def test_ratio_is_taken_within_equal_keys_and_missing_without_reference() -> None:
    summary = pd.DataFrame({"stack": ["a", "b", "a", "b", "b"], "size": [1, 1, 2, 2, 3], "mean": [2.0, 3, 4, 8, 1]})
    ratios = ratio_to(summary, summary["stack"] == "a", ["size"])
    assert list(ratios[:4]) == [1, 1.5, 1, 2]
    assert pd.isna(ratios[4])


def test_an_interval_of_pairs_is_of_their_ratios_and_not_of_what_both_share() -> None:
    """Rates that the seed makes 10 or 20, for both stacks alike."""
    points = pd.DataFrame(
        {"size": 1, "repetition": n, "stack": stack, "rate": rate * factor}
        for n, (rate, ours) in enumerate([(10, 0.96), (20, 0.97), (10, 0.95)])
        for stack, factor in (("a", 1.0), ("b", ours))
    )
    within = paired_interval(points, ["size"], "rate", points["stack"] == "a")
    assert within[1, "a"] == 0
    assert within[1, "b"] == pytest.approx(4.303 * 0.01 / 3**0.5, rel=1e-3)  # Student's t of two degrees, twice 2.5 %
    once = points[points["repetition"] == 0]
    assert paired_interval(once, ["size"], "rate", once["stack"] == "a").isna().all()


def test_runs_are_found_by_experiment(microflows: Path, bulk: Path, tmp_path: Path) -> None:
    assert [run.path for run in find_runs(tmp_path)] == [bulk, microflows]
    assert [run.path for run in find_runs(tmp_path, "quickstart")] == [microflows]
    assert find_runs(tmp_path / "nowhere") == []


def test_unreadable_run_is_one_line(microflows: Path) -> None:
    with pytest.raises(UnreadableRun, match="not a run directory"):
        load_run(microflows.parent)
    manifest = json.loads((microflows / "manifest.json").read_text())
    (microflows / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(UnreadableRun, match=r"manifest\.json: format: 99; allowed: 1"):
        load_run(microflows)


def test_stacks_look_different_and_always_the_same() -> None:
    assert len({(one.color, one.marker) for one in LOOKS.values()}) == len(LOOKS)
    assert look("my.module:Stack") == look("my.module:Stack")
    assert look("my.module:Stack").color not in {one.color for one in LOOKS.values()}
