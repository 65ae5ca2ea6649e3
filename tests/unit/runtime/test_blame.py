"""Whose mistake an exception is, and what a class of a user's lacks."""

import pytest

from mptcp_stack.build import running
from mptcp_stack.congestion import CongestionControl, Reno
from mptcp_stack.mptcp.plugins import KINDS, plug
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.phy import Device
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


@pytest.mark.parametrize(
    ("setting", "name", "wrong"),
    [
        ("scheduler", "Half", "lacks select of Scheduler"),
        ("congestion", "Half", "is not a CongestionControl"),
        ("congestion", "Fixed", "has cwnd in place of what each CongestionControl has"),
        ("congestion", "Watched", "has __setattr__ in place of what each CongestionControl has"),
    ],
)
def test_a_class_that_would_be_used_otherwise_than_it_says_is_refused(setting: str, name: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        plug(setting, f"{__name__}:{name}")
    with pytest.raises(ConfigError, match=rf"{wrong} \(.*test_blame.py:\d+\)"):
        check_plugin(setting, f"{__name__}:{name}")


def test_a_class_that_asks_its_abstract_base_is_not() -> None:
    check_plugin("scheduler", f"{__name__}:Above")


@pytest.mark.skipif(running() == "compiled", reason="a compiled class does not tell")
@pytest.mark.parametrize("setting", KINDS)
def test_what_each_plug_in_must_have_and_has_is_known(setting: str) -> None:
    kind = KINDS[setting]
    assert set(kind.required) == getattr(kind.base, "__abstractmethods__", set())
    (connection,) = idle_scene().client.stack.connections
    arguments = {"congestion": (1000, []), "path_manager": (connection,), "scheduler": (None,)}[setting]
    own = type("Own", (kind.base,), dict.fromkeys(kind.required))
    assert set(vars(own(*arguments))) == set(kind.attributes)


@pytest.mark.skipif(running() == "pure", reason="of the compiled core")
def test_a_compiled_abstract_class_knows_its_own_subclasses_alone() -> None:
    """mypyc leaves what `ABC` knows of subclasses to all: a class of one was of every other."""

    class Mine(Scheduler):
        pass

    assert issubclass(Mine, Scheduler)
    assert not issubclass(Mine, CongestionControl)
    assert not issubclass(Mine, Device)
