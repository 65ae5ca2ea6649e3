"""Collectors without a lab: their registry, the sampling process, and what becomes of those that cannot run."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis.collected import PARSERS, UnreadableFile, load
from testbed.collectors import COLLECTORS, create, expand
from testbed.collectors.base import NotApplicable, Report, RunningCollector, SampledCollector, Site, Source
from testbed.collectors.collection import Collection, Wanted
from testbed.errors import LabError, Unsupported

HERE = "tests.testbed.test_collectors"


class Toy(RunningCollector):
    """Each of them does what its class says."""

    name = "toy"
    summary = "nothing"
    refusal: LabError | None = None
    failure: str | None = None
    stopped = 0

    def require(self, site):
        if self.refusal:
            raise self.refusal

    def start(self, site):
        (site.directory / "toy.txt").write_text("raw")

    def stop(self):
        type(self).stopped += 1
        return Report(["toy.txt"], cpu_s=0.5, failure=self.failure)


class Lacking(Toy):
    name = "lacking"
    refusal = Unsupported("this machine has none")


class Elsewhere(Toy):
    name = "elsewhere"
    refusal = NotApplicable("this stack has none")


class Breaking(Toy):
    name = "breaking"
    failure = "it broke"


class Mistaken(Toy):
    name = "mistaken"

    def stop(self):
        raise ZeroDivisionError("oops")

    line = stop.__code__.co_firstlineno + 1


class NotStarting(Toy):
    name = "not-starting"

    def start(self, site):
        raise LabError("no such program")


class Unreadable(SampledCollector):
    name = "unreadable"
    summary = "a file that is not there"

    def sources(self, places):
        yield Source("", "missing", Path("/proc/none").read_text)


class Refusing(SampledCollector):
    name = "refusing"
    summary = "what cannot be opened"

    def sources(self, places):
        raise OSError("no such device")


def toy(name: str) -> str:
    return f"{HERE}:{name}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    host = SimpleNamespace(pid=os.getpid(), interfaces=["lo"])
    stack = SimpleNamespace(name="pretended", runs_our_stack=lambda host: False)
    return Site({"client": host}, stack, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interface", "unknown collector 'interface', did you mean interfaces?"),
        ("no.such:Thing", "No module named 'no'"),
        (f"{HERE}:toy", "toy is not a Collector"),
        ("interfaces+interval", "interval: must be key=value"),
        ("interfaces+intervall=1ms", "interfaces: intervall: unknown field 'intervall', did you mean interval?"),
        ("interfaces+interval=soon", 'collector interfaces: interval: must look like "10 ms"'),
    ],
)
def test_mistake_is_one_line(text: str, message: str) -> None:
    with pytest.raises(LabError) as caught:
        create(text)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_all_are_every_collector_once_with_the_settings_given() -> None:
    assert expand(["all"]) == list(COLLECTORS)
    assert sorted(expand(["interfaces+interval=20ms", "all"])) == sorted(
        {*COLLECTORS, "interfaces+interval=20ms"} - {"interfaces"}
    )
    assert create("interfaces+interval=20ms").settings.interval == 20_000_000


def test_every_collector_says_what_it_collects() -> None:
    for name in COLLECTORS:
        collector = create(name)
        assert collector.name == name
        assert collector.summary


def test_every_collector_has_a_parser() -> None:
    assert set(PARSERS) == set(COLLECTORS)


def test_sampling_process_reads_at_the_beginning_and_the_end(site: Site) -> None:
    wanted = Wanted(added=("interfaces+interval=10s", "softnet+interval=1ms"))
    with Collection(wanted, site) as collection, collection.workload():
        path = site.directory / "collected" / "softnet.jsonl"
        while path.stat().st_size < 8192:
            pass
    records = collection.records
    assert {record["outcome"] for record in records.values()} == {"ran"}
    assert records["interfaces"]["details"]["samples"] == 2
    assert records["softnet"]["details"]["samples"] > 2
    assert 0 < records["softnet"]["cpu_s"] < records["softnet"]["details"]["process_cpu_s"]
    frame = load(site.directory, "interfaces")
    assert set(frame["interface"]) >= {"lo"}
    assert frame["time_s"].min() < 0 < frame["time_s"].max()
    assert not (site.directory / "collected" / "sampler.stderr").exists()


def test_sampling_beside_many_descriptors(site: Site, beyond_select: None) -> None:
    with Collection(Wanted(added=("interfaces+interval=10s",)), site) as collection, collection.workload():
        pass
    assert collection.records["interfaces"]["outcome"] == "ran"


def test_what_cannot_run_is_reported_and_the_others_run(site: Site) -> None:
    kinds = ("Toy", "Lacking", "Elsewhere", "Breaking", "Mistaken", "NotStarting", "Unreadable", "Refusing")
    with Collection(Wanted(added=tuple(map(toy, kinds))), site) as collection, collection.workload():
        pass
    came = {name: (record["outcome"], record["why"]) for name, record in collection.records.items()}
    assert came.pop("mistaken") == ("failed", f"ZeroDivisionError: oops ({__file__}:{Mistaken.line})")
    assert came == {
        "toy": ("ran", None),
        "lacking": ("unsupported", "this machine has none"),
        "elsewhere": ("not applicable", "this stack has none"),
        "breaking": ("failed", "it broke"),
        "not-starting": ("failed", "no such program"),
        "unreadable": ("failed", "[Errno 2] No such file or directory: '/proc/none'"),
        "refusing": ("unsupported", "no such device"),
    }
    assert collection.problems == []
    written = json.loads((site.directory / "collected" / "collectors.json").read_text())
    assert written["collectors"] == collection.records
    with pytest.raises(UnreadableFile, match="lacking left no files: unsupported: this machine has none"):
        load(site.directory, "lacking", parser="analysis.collected.interfaces:parse")


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("Lacking", Unsupported, "collector lacking: this machine has none"),
        ("NotStarting", LabError, "collector not-starting: no such program"),
        ("Refusing", Unsupported, "collector refusing: no such device"),
    ],
)
def test_required_collector_that_cannot_start_stops_the_point(
    site: Site, kind: str, error: type[LabError], message: str
) -> None:
    Toy.stopped = 0
    with pytest.raises(error) as caught, Collection(Wanted(required=(toy("Toy"), toy(kind))), site):
        pytest.fail("the load must not run")
    assert caught.value.message == message
    assert type(caught.value) is error
    assert Toy.stopped == (0 if kind == "Lacking" else 1), "what had been started is stopped"


def test_required_collector_that_breaks_is_a_problem_of_the_point(site: Site) -> None:
    required = (toy("Breaking"), toy("Elsewhere"), toy("Unreadable"))
    with Collection(Wanted(required=required), site) as collection, collection.workload():
        pass
    assert collection.problems == [
        "collector breaking: it broke",
        "collector unreadable: [Errno 2] No such file or directory: '/proc/none'",
    ]


def test_sampling_process_that_does_not_start_fails_its_collectors_and_not_the_load(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with Collection(Wanted(added=(toy("Toy"), "softnet")), site) as collection, collection.workload():
        pass
    assert collection.records["toy"]["outcome"] == "ran"
    assert collection.records["softnet"]["outcome"] == "failed"
    assert collection.records["softnet"]["why"] == "the sampling process failed: it ended"
    with pytest.raises(LabError, match="collector softnet: the sampling process failed"):
        Collection(Wanted(required=("softnet",)), site).__enter__()


def test_load_that_fails_stops_the_collectors_too(site: Site) -> None:
    Toy.stopped = 0
    collection = Collection(Wanted(added=(toy("Toy"), "interfaces")), site)
    with pytest.raises(ZeroDivisionError), collection, collection.workload():
        raise ZeroDivisionError
    assert Toy.stopped == 1
    assert collection.records["interfaces"]["outcome"] == "ran"


def test_without_collectors_nothing_is_written(site: Site) -> None:
    with Collection(Wanted(), site) as collection, collection.workload():
        assert collection.program_options("client") == []
    assert list(site.directory.iterdir()) == []
    assert collection.records == {}


def test_second_load_of_a_point_has_a_directory_of_its_own(site: Site) -> None:
    for _ in range(2):
        with Collection(Wanted(added=("softnet",)), site) as collection, collection.workload():
            pass
    assert sorted(path.name for path in site.directory.iterdir()) == ["collected", "collected-2"]
