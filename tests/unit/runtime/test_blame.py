"""Whose mistake an exception is, and what a class of a user's lacks."""

import pytest

from mptcp_stack.build import running
from mptcp_stack.congestion import Reno
from mptcp_stack.congestion.coupled import Coupled
from mptcp_stack.mptcp.path_manager import PathManager
from mptcp_stack.mptcp.path_manager.retrying import Retrying
from mptcp_stack.mptcp.plugins import KINDS, plug
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.runtime.blame import place_of
from mptcp_stack.runtime.config import ConfigError
from mptcp_stack.runtime.settings import check_plugin
from tests.sim.scenes import idle_scene


def test_what_comes_out_of_the_stack_is_blamed_on_who_called_it() -> None:
    """Also where it is compiled, and its frames name no file that is there."""
    with pytest.raises(ValueError, match="not one of") as caught:
        plug("scheduler", "nobody's")
    place = place_of(caught.value)
    assert place is not None
    assert place.rpartition(":")[0] == __file__


def test_what_could_not_be_imported_says_why() -> None:
    with pytest.raises(ValueError, match="nowhere") as caught:
        plug("scheduler", "nowhere:X")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


class Half(Scheduler):
    """It selects nothing."""


class Above(Scheduler):
    """It asks the base, which has nothing to say."""

    def select(self, subflows, burst_bytes):  # type: ignore[no-untyped-def]
        return super().select(subflows, burst_bytes)  # type: ignore[safe-super]


class Fixed(Reno):
    """A window that nobody can change."""

    @property
    def cwnd(self) -> float:  # type: ignore[override]
        return 3000.0


class Watched(Reno):
    """It hears of everything that is set."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)


class Preset(Reno):
    """What it would have for all is what each has."""

    cwnd = 3000.0


class Gainless(Coupled):
    """It does not say how much a window grows."""


class Idle(Retrying):
    """It wants no subflows."""


class Patient(PathManager):
    """It keeps another timer where ours is."""

    _timer = None


class Configured(PathManager):
    """It takes a number."""

    @classmethod
    def configured(cls, parameter: str):  # type: ignore[no-untyped-def]
        int(parameter)
        raise KeyError(parameter)


@pytest.mark.parametrize(
    ("setting", "name", "wrong"),
    [
        ("scheduler", "Half", "lacks select of Scheduler"),
        ("congestion", "Half", "is not a CongestionControl"),
        ("congestion", "Fixed", "has cwnd in place of what each CongestionControl has"),
        ("congestion", "Watched", "has __setattr__ in place of what each CongestionControl has"),
        ("congestion", "Preset", "has cwnd in place of what each CongestionControl has"),
        ("congestion", "Gainless", "lacks gain of Coupled"),
        ("path_manager", "Idle", "lacks fill of Retrying"),
        ("path_manager", "Patient", "has _timer in place of what each PathManager has"),
    ],
)
def test_a_class_that_would_be_used_otherwise_than_it_says_is_refused(setting: str, name: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        plug(setting, f"{__name__}:{name}")
    with pytest.raises(ConfigError, match=rf"{wrong} \(.*test_blame.py:\d+\)"):
        check_plugin(setting, f"{__name__}:{name}")


def test_a_class_that_asks_its_abstract_base_is_not() -> None:
    check_plugin("scheduler", f"{__name__}:Above")


@pytest.mark.parametrize("parameter", ["seven", "7"])
def test_what_a_class_says_of_its_parameter_is_said_with_its_name_and_place(parameter: str) -> None:
    name = f"{__name__}:Configured:{parameter}"
    with pytest.raises(
        ConfigError, match=rf"^path manager '{name}': (Value|Key)Error: .*{parameter}.*test_blame.py:\d+\)"
    ):
        check_plugin("path_manager", name)


@pytest.mark.skipif(running() == "compiled", reason="a compiled class does not tell")
@pytest.mark.parametrize("setting", KINDS)
def test_what_each_plug_in_must_have_and_has_is_known(setting: str) -> None:
    kind = KINDS[setting]
    ours = {one for one in _subclasses(kind.base) if one.__module__.startswith("mptcp_stack.")}
    assert {one: _abstract(one) for one in ours if _abstract(one)} == {
        one: [method] for one, method in kind.required.items()
    }
    (connection,) = idle_scene().client.stack.connections
    arguments = {"congestion": (1000, []), "path_manager": (connection,), "scheduler": (None,)}[setting]
    own = type("Own", (kind.base,), dict.fromkeys(kind.required.values()))
    assert set(vars(own(*arguments))) == set(kind.attributes)


def _subclasses(base: type) -> list[type]:
    return [base, *(one for below in base.__subclasses__() for one in _subclasses(below))]


def _abstract(one: type) -> list[str]:
    return [name for name, value in vars(one).items() if getattr(value, "__isabstractmethod__", False)]
