"""Nothing that may be asked for is without an end: every number of every experiment and link has an upper limit."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from testbed.errors import LabError
from testbed.experiment import MOST_POINTS, MOST_VALUES, experiment_class, experiment_names, resolve
from testbed.input.limits import time_limit
from testbed.placement.cpus import parse_cpus
from testbed.runs.runner import Plan
from testbed.spec.templates import load_topology, template_header, topology_names
from testbed.units import DELAY, RATE, SIZE, TIME, parse_queue

HUGE = ("99999999999999999999", "1e300", "9" * 400, "9" * 5000)


def numbers_of(name: str) -> list[str]:
    """The parameters of an experiment that are numbers, or lists of some."""
    found = experiment_class(name)
    values = next(iter(found.scales.values())).model_dump()
    numeric = []
    for field, value in values.items():
        items = value if isinstance(value, tuple) else (value,)
        if items and all(isinstance(item, int | float) and not isinstance(item, bool) for item in items):
            numeric.append(field)
    return numeric


@pytest.mark.parametrize("name", experiment_names())
def test_every_number_of_an_experiment_has_an_upper_limit(name: str) -> None:
    for field in numbers_of(name):
        for value in HUGE:
            with pytest.raises(LabError) as caught:
                resolve(experiment_class(name), None, [f"{field}={value}"]).specification()
            assert "\n" not in caught.value.message, field
            assert len(caught.value.message) < 1000 + len(value), field


@pytest.mark.parametrize("name", experiment_names())
def test_every_list_has_an_end(name: str) -> None:
    found = experiment_class(name)
    for field, value in next(iter(found.scales.values())).model_dump().items():
        if isinstance(value, tuple) and value:
            joined = ",".join([str(value[0])] * (MOST_VALUES + 1))
            with pytest.raises(LabError, match=f"{field}: must have at most {MOST_VALUES} values"):
                resolve(found, None, [f"{field}={joined}"])


def test_points_are_counted_before_they_are_made(tmp_path) -> None:
    found = experiment_class("ab-microflows")
    sizes = ",".join(str(size) for size in range(1, 101))
    began = time.monotonic()
    with pytest.raises(LabError, match=rf"points; at most {MOST_POINTS}: fewer repetitions"):
        Plan(resolve(found, None, [f"sizes_bytes={sizes}", "repetitions=1000"]), tmp_path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("parse", "most", "beyond"),
    [
        (RATE.parse, "1000 Gbit/s", "1001 Gbit/s"),
        (SIZE.parse, "100000 MB", "100001 MB"),
        (TIME.parse, "86400 s", "86401 s"),
        (DELAY.parse, "60 s", "61 s"),
        (parse_queue, "1000 MB", "1001 MB"),
        (parse_queue, "1000000 packets", "1000001 packets"),
        (parse_queue, "1000 bdp", "1001 bdp"),
    ],
)
def test_quantities_have_an_upper_limit(parse: Callable[[Any], Any], most: str, beyond: str) -> None:
    parse(most)
    for value in (beyond, "9" * 400 + f" {beyond.split()[1]}"):
        with pytest.raises(ValueError, match="must be at most"):
            parse(value)


@pytest.mark.parametrize("name", topology_names())
def test_every_parameter_of_a_topology_has_an_upper_limit(name: str) -> None:
    for field, parameter in template_header(name).parameters.items():
        if any(digit in str(parameter.default) for digit in "0123456789") or field in ("rate", "queue"):
            for value in HUGE[2:]:
                with pytest.raises(LabError) as caught:
                    load_topology(name, {field: value})
                assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["0-99999999999", "8192", "9" * 4000])
def test_processors_have_an_upper_limit(text: str) -> None:
    with pytest.raises(ValueError, match="must be a list of CPUs below 8192"):
        parse_cpus(text)


def turn() -> None:
    with time_limit(0.05, "it turns and turns"):
        while True:
            pass


def test_a_time_limit_ends_what_has_no_end() -> None:
    with pytest.raises(TimeoutError, match=r"not done within 0\.05 s: it turns and turns"):
        turn()


def test_a_time_limit_leaves_another_one_as_it_was() -> None:
    handler, (left, _) = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    with time_limit(5, "it is gone"):
        pass
    assert signal.getsignal(signal.SIGALRM) is handler
    assert left - 1 < signal.getitimer(signal.ITIMER_REAL)[0] <= left
