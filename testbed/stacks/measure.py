"""Measuring one load on one stack: server and client in their hosts, counters before and after, verdict.

Each function starts the server, waits until it listens, runs the client, stops both, and judges the run:
failed requests, and what the stack itself finds wrong (:meth:`StackUnderTest.verify`). Raw files stay in
the directory.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.collectors.base import Site
from testbed.collectors.collection import NOTHING, Collection, Wanted
from testbed.errors import LabError
from testbed.host import namespace
from testbed.host.process import Program, announced_ready, running, tail
from testbed.loadgen import apache as real_apache
from testbed.loadgen import curl as real_curl
from testbed.loadgen.client import FAILURES
from testbed.loadgen.options import Endpoint
from testbed.placement import ANYWHERE, Placement
from testbed.placement.processes import await_pin, pinned
from testbed.stacks import counters, iperf
from testbed.stacks.base import CLIENT, SERVER, Evidence, StackUnderTest, common_build
from testbed.stacks.busy import Threads

if TYPE_CHECKING:
    from testbed.lab import Lab

Progress = Callable[[float], None]
"""Is told the share of the load that is done, 0 to 1."""

HTTP_PORT = 8080
BULK_PORT = 5001
ANY = "0.0.0.0"
"""Servers listen on every address: a subflow can join only where a listener is."""

TIMELINE = "timeline.csv"
"""Bytes received so far over time, among a bulk download's raw files."""

LONG_LIVED_BYTES = 100_000
"""From this size on, a transfer lasts long enough for every path to join."""

OBSERVE_INTERVAL_S = 0.5
OBSERVATIONS = 4
EXTRA_LIMIT_S = 20.0
"""How much longer than its own limit a client may take to start and end."""


@dataclass(frozen=True)
class HttpLoad:
    """Requests for ``size_bytes`` each, ``concurrency`` at once: a closed loop, which begins none after ``seconds``.

    With ``rate_per_s`` an open one: requests arrive at this rate by a process of ``testbed.loadgen.arrivals``, drawn
    from ``seed``, and ``concurrency`` is their limit.
    """

    size_bytes: int
    requests: int
    concurrency: int
    request_timeout_s: float = 60.0
    time_limit_s: float = 600.0
    rate_per_s: float | None = None
    arrivals: str = "poisson"
    seed: int = 1
    seconds: float | None = None
    long_lived_bytes: int = LONG_LIVED_BYTES
    """From this size on, a request lasts long enough for every path to join."""
    closes_first: str = SERVER
    """Who ends a connection: the server with its response, or the client when it has that."""

    @property
    def long_lived(self) -> bool:
        """Whether a request lasts long enough for every path to join."""
        return self.size_bytes >= self.long_lived_bytes


@dataclass(frozen=True)
class BulkLoad:
    """One transfer, ``download`` or ``upload`` as the client sees it, limited by bytes or by seconds.

    ``check``: what the receiver does, one of :data:`testbed.loadgen.bulk.CHECKS`.
    """

    direction: str
    limit_bytes: int | None = None
    limit_seconds: float | None = None
    check: str = "content"
    time_limit_s: float = 120.0

    @property
    def long_lived(self) -> bool:
        """Whether the transfer lasts long enough for every path to join."""
        return self.limit_bytes is None or self.limit_bytes >= LONG_LIVED_BYTES


@dataclass(frozen=True)
class Measurement:
    """What a load gave. ``problems`` in the user's words; the run is valid when there are none.

    ``result`` has what the generator says, and ``programs_cpu_s``: the processor time of server and client together,
    with what the kernel did on their account. Of requests of ours also `busiest_program` and `busiest_thread_share`
    (:mod:`testbed.stacks.busy`).

    ``counters`` by host and kernel MIB name and ``paths`` by host and interface: what was counted during the
    run. ``stacks`` by host: what our own stack reported, ``None`` when the kernel's was used. ``links`` by link
    and direction: what the links delivered and dropped. ``collectors`` by name: what came of each, and its cost.
    ``build``: which build of our stack the programs ran, as they said (:func:`testbed.stacks.base.common_build`).
    """

    result: dict[str, Any]
    problems: list[str]
    counters: dict[str, dict[str, int]]
    paths: dict[str, dict[str, dict[str, int]]]
    stacks: dict[str, dict[str, Any] | None]
    links: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    collectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    build: str | None = None


Share = Callable[[Program, float], float]
Reports = Mapping[str, dict[str, Any] | None]
Beside = Callable[[], AbstractContextManager[object]]
"""What goes on beside a client, from when its server listens until it has ended."""


@dataclass(frozen=True)
class Trial:
    """One load as programs: how they are started, watched and read.

    ``share`` tells from the client and the time so far how much is done. ``read`` returns the result and
    what the programs reported of their stack, from the server and the client, both ended.
    """

    server: list[str]
    client: list[str]
    ready: Callable[[Program], bool]
    limit_s: float
    connections: int
    long_lived: bool
    share: Share
    read: Callable[[Program, Program], tuple[dict[str, Any], Reports]]
    beside: Beside = nullcontext


@dataclass
class _Watch:
    """What is done while a client runs: progress, and a look at the connections now and then."""

    lab: Lab
    stack: StackUnderTest
    progress: Progress | None
    congestion_seen: Counter[str] = field(default_factory=Counter)
    observations: int = 0

    def __call__(self, share: float, elapsed_s: float) -> None:
        if self.progress is not None:
            self.progress(min(1.0, share))
        if self.observations < OBSERVATIONS and elapsed_s >= OBSERVE_INTERVAL_S * (self.observations + 0.5):
            self.observations += 1
            self.congestion_seen += self.stack.observe(self.lab)


def _run(
    lab: Lab, trial: Trial, commands: Mapping[str, list[str]], placement: Placement, directory: Path, watch: _Watch
) -> tuple[dict[str, Any], Reports, list[str]]:
    """Return the result, what the programs reported of their stacks, and exceptions that they told of."""
    threads = Threads()
    with running(lab.hosts[SERVER], commands[SERVER], directory, "server") as server:
        server.await_start(trial.ready)
        await_pin(SERVER, server.process, placement.cpus(SERVER))
        began_ns = lab.start_schedules()
        with trial.beside(), running(lab.hosts[CLIENT], commands[CLIENT], directory, "client") as client:
            await_pin(CLIENT, client.process, placement.cpus(CLIENT))
            programs = {SERVER: server.process.pid, CLIENT: client.process.pid}

            def look(elapsed_s: float) -> None:
                threads.look(programs)
                watch(trial.share(client, elapsed_s), elapsed_s)

            client.wait(trial.limit_s + EXTRA_LIMIT_S, look)
    result, reports = trial.read(server, client)
    if first_ns := result.get("first_due_ns"):
        result |= threads.busiest(first_ns, first_ns + round(result["duration_s"] * 1e9))
    raised = [f"{program.name}: {found}" for program in (client, server) if (found := program.exception())]
    # On CLOCK_MONOTONIC: when the links began to change, for whoever compares times of the load with that.
    return {**result, "began_ns": began_ns}, reports, raised


def measure_trial(
    lab: Lab,
    stack: StackUnderTest,
    trial: Trial,
    directory: Path,
    placement: Placement,
    progress: Progress | None,
    collect: Wanted,
) -> Measurement:
    """Run ``trial`` in ``lab`` over ``stack`` with what is to be collected beside it, and judge it."""
    watch = _Watch(lab, stack, progress)
    with Collection(collect, Site(lab.hosts, stack, directory)) as collection:
        commands = _commands(trial, placement, collection)
        before, links_before = counters.read(lab), lab.link_counters()
        with collection.workload():
            result, reports, raised = _run(lab, trial, commands, placement, directory, watch)
        counted = counters.difference(before, counters.read(lab))
        links = counters.link_difference(links_before, lab.link_counters())
    result["programs_cpu_s"] = round(collection.programs_cpu_s, 3)
    # A load that is limited in time may have made fewer requests than it was asked for.
    connections = result.get("requests", trial.connections)
    evidence = Evidence(connections, trial.long_lived, watch.congestion_seen, reports)
    measurement = Measurement(
        result,
        raised
        + failure_problems(result)
        + stack.verify(lab, counted, evidence)
        + counters.link_problems(links)
        + collection.problems,
        {host: numbers.protocols for host, numbers in counted.items()},
        {host: dict(numbers.interfaces) for host, numbers in counted.items()},
        {host: reports.get(host) for host in (CLIENT, SERVER)},
        links,
        collection.records,
        common_build(reports.values()),
    )
    raw = {
        "commands": commands,
        "congestion_seen": watch.congestion_seen,
        **asdict(measurement),
    }
    (directory / "measurement.json").write_text(json.dumps(raw, indent=2) + "\n")
    return measurement


def _commands(trial: Trial, placement: Placement, collection: Collection) -> dict[str, list[str]]:
    """Return by host what is run: pinned, and with what the collectors want to know."""
    return {
        host: pinned([*command, *collection.program_options(host)], placement.cpus(host))
        for host, command in ((SERVER, trial.server), (CLIENT, trial.client))
    }


def failure_problems(result: Mapping[str, Any]) -> list[str]:
    """Return what the generator itself found wrong, in the user's words."""
    problems = [
        f"{number} of {result['requests']} requests failed: {FAILURES[reason]}"
        for reason, number in result.get("failures", {}).items()
    ]
    if result.get("not_started"):
        problems.append(f"{result['not_started']} of {result['requests']} requests were not made in time")
    if result.get("failure"):
        problems.append(f"the transfer failed: {FAILURES[result['failure']]}")
    return problems


def last_document(program: Program) -> dict[str, Any]:
    """Return the result that a program printed last; raises :class:`LabError` when it gave none."""
    documents = program.documents()
    if not documents:
        raise LabError(f"{program.name} gave no result: {program.last_words()}", exit_code=1)
    return documents[-1]


def read_own(server: Program, client: Program) -> tuple[dict[str, Any], Reports]:
    """Read the results of our own generators."""
    result, served = last_document(client), last_document(server)
    return result, {CLIENT: result.pop("stack"), SERVER: served.get("stack")}


def http(
    lab: Lab, stack: StackUnderTest, load: HttpLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
    beside: Beside = nullcontext,
) -> Measurement:  # fmt: skip
    """Measure our HTTP generator. Raises :class:`Unsupported`, or :class:`LabError` if a program fails."""
    stack.require("http")

    def share(client: Program, elapsed_s: float) -> float:
        lines = [line for line in tail(client.stderr).splitlines() if line.startswith("{") and line.endswith("}")]
        done = float(json.loads(lines[-1])["done"]) if lines else 0.0
        return max(done / load.requests, elapsed_s / load.seconds if load.seconds else 0.0)

    closing = ["--closes-first", load.closes_first]
    trial = Trial(
        server=stack.command(lab, SERVER, "testbed.loadgen.server", "--listen", f"{ANY}:{HTTP_PORT}", *closing),
        client=stack.command(
            lab, CLIENT, "testbed.loadgen.client",
            "--connect", str(Endpoint(stack.server_address(lab), HTTP_PORT)),
            "--size-bytes", str(load.size_bytes), "--requests", str(load.requests),
            "--concurrency", str(load.concurrency), "--request-timeout-s", str(load.request_timeout_s),
            "--time-limit-s", str(load.time_limit_s), "--raw", str(directory / "requests.csv"),
            *closing, *_loop(load),
        ),
        ready=announced_ready,
        limit_s=load.time_limit_s,
        connections=load.requests,
        long_lived=load.long_lived,
        share=share,
        read=read_own,
        beside=beside,
    )  # fmt: skip
    return measure_trial(lab, stack, trial, directory, placement, progress, collect)


def _loop(load: HttpLoad) -> list[str]:
    if load.rate_per_s is None:
        return ["--seconds", str(load.seconds)] if load.seconds is not None else []
    return ["--rate", str(load.rate_per_s), "--arrivals", load.arrivals, "--seed", str(load.seed)]


def apache(
    lab: Lab, stack: StackUnderTest, load: HttpLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
) -> Measurement:  # fmt: skip
    """Measure the real ApacheBench against the real apache2. Raises as :func:`http` does.

    ApacheBench does not count what its own time limit cuts off: it makes all ``requests``, whatever ``seconds`` says.
    """
    stack.require("ab")
    percentiles = directory / "percentiles.csv"

    def read(server: Program, client: Program) -> tuple[dict[str, Any], Reports]:
        try:
            report, served = client.stdout.read_text(), percentiles.read_text()
            return real_apache.parse_result(report, served, load.size_bytes, load.requests), {}
        except (ValueError, OSError) as error:
            raise LabError(f"ab gave no result: {client.last_words()} ({error})", exit_code=1) from error

    client = real_apache.client_command(
        Endpoint(stack.server_address(lab), HTTP_PORT), load.size_bytes, load.requests,
        load.concurrency, load.request_timeout_s, percentiles,
    )  # fmt: skip
    with _web_server(load, directory) as (server, ready):
        trial = _web_trial(
            stack, load, server, ready, client, lambda client, _: real_apache.parse_progress(tail(client.stderr)), read
        )
        return measure_trial(lab, stack, trial, directory, placement, progress, collect)


def curl(
    lab: Lab, stack: StackUnderTest, load: HttpLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
) -> Measurement:  # fmt: skip
    """Measure the real curl against the real apache2, one request after the other. Raises as :func:`http` does."""
    stack.require("curl")
    if load.concurrency != 1 or load.rate_per_s is not None:
        raise LabError("curl makes one request at a time: concurrency must be 1, without a rate", 1)
    client = real_curl.command(
        Endpoint(stack.server_address(lab), HTTP_PORT), load.size_bytes, load.requests, load.request_timeout_s
    )
    with _web_server(load, directory) as (server, ready):
        trial = _web_trial(
            stack, load, server, ready, client,
            lambda client, _: client.stdout.read_bytes().count(b"\n"),
            lambda _, client: (real_curl.parse_result(client.stdout.read_text(), load.size_bytes, load.requests), {}),
        )  # fmt: skip
        return measure_trial(lab, stack, trial, directory, placement, progress, collect)


@contextmanager
def _web_server(load: HttpLoad, directory: Path) -> Iterator[tuple[list[str], Callable[[Program], bool]]]:
    """Give the command of an apache2 with the load's document, and how to tell that it listens; keep its logs."""
    # Not in the results' directory: the server's user may not be able to reach it.
    with tempfile.TemporaryDirectory(prefix="apache-", dir=namespace.current().scratch) as name:
        home = Path(name)
        home.chmod(0o755)
        listen = Endpoint(ANY, HTTP_PORT)
        configuration = real_apache.write_server_files(home, listen, [load.size_bytes], load.concurrency)
        try:
            yield real_apache.server_command(configuration), lambda _: (home / real_apache.PID_FILE).exists()
        finally:
            for file in (configuration, home / real_apache.ERROR_LOG):
                if file.exists():
                    shutil.copy(file, directory / f"apache2-{file.name}")


def _web_trial(
    stack: StackUnderTest, load: HttpLoad, server: list[str], ready: Callable[[Program], bool], client: list[str],
    done: Callable[[Program, float], float], read: Callable[[Program, Program], tuple[dict[str, Any], Reports]],
) -> Trial:  # fmt: skip
    """Return the trial of real programs; ``done`` counts the requests so far."""
    return Trial(
        server=stack.program(server),
        client=stack.program(client),
        ready=ready,
        limit_s=load.time_limit_s,
        connections=load.requests,
        long_lived=load.long_lived,
        share=lambda program, elapsed_s: done(program, elapsed_s) / load.requests,
        read=read,
    )


def _share_of_time(load: BulkLoad) -> Share:
    seconds = load.limit_seconds
    return lambda _, elapsed_s: elapsed_s / seconds if seconds else 0.0


def _read_bulk(server: Program, client: Program) -> tuple[dict[str, Any], Reports]:
    """Read the result of a transfer; what the server sent must be what a download received."""
    result, reports = read_own(server, client)
    transfers = last_document(server)["transfers"]
    if transfers and result["direction"] == "download":
        result["sent_sha256"] = transfers[-1]["sent_sha256"]
    sent_bytes = transfers[-1]["sent_bytes"] if transfers else 0
    if sent_bytes > result["received_bytes"]:
        result["failure"] = result["failure"] or "short"
    elif result["sent_sha256"] != result["received_sha256"]:
        result["failure"] = result["failure"] or "content"
    return result, reports


def bulk(
    lab: Lab, stack: StackUnderTest, load: BulkLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
) -> Measurement:  # fmt: skip
    """Measure one transfer of our own generator. Raises as :func:`http` does."""
    stack.require("bulk")
    limit = ["--seconds", str(load.limit_seconds)] if load.limit_bytes is None else ["--bytes", str(load.limit_bytes)]
    trial = Trial(
        server=stack.command(lab, SERVER, "testbed.loadgen.bulk", "server", "--listen", f"{ANY}:{BULK_PORT}"),
        client=stack.command(
            lab, CLIENT, "testbed.loadgen.bulk", "client",
            "--connect", str(Endpoint(stack.server_address(lab), BULK_PORT)), "--direction", load.direction,
            *limit, "--check", load.check, "--time-limit-s", str(load.time_limit_s),
            "--timeline", str(directory / TIMELINE),
        ),
        ready=announced_ready,
        limit_s=load.time_limit_s,
        connections=1,
        long_lived=load.long_lived,
        share=_share_of_time(load),
        read=_read_bulk,
    )  # fmt: skip
    return measure_trial(lab, stack, trial, directory, placement, progress, collect)


def iperf3(
    lab: Lab, stack: StackUnderTest, load: BulkLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
) -> Measurement:  # fmt: skip
    """Measure one iperf3 transfer of ``load.limit_seconds`` (whole seconds). Raises as :func:`http` does."""
    stack.require("iperf3")
    seconds = load.limit_seconds or 1.0
    trial = Trial(
        server=stack.program(iperf.server_command(BULK_PORT)),
        client=stack.program(iperf.client_command(stack.server_address(lab), BULK_PORT, load.direction, seconds)),
        ready=lambda server: "listening" in tail(server.stdout),
        limit_s=load.time_limit_s,
        # One carries its control messages, one the data.
        connections=2,
        long_lived=load.long_lived,
        share=_share_of_time(load),
        read=lambda _, client: (iperf.parse_result(client.stdout.read_text(), load.direction), {}),
    )
    return measure_trial(lab, stack, trial, directory, placement, progress, collect)
