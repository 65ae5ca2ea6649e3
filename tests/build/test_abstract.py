"""What a subclass must have says so when it is missing: compiled, a body that does nothing would call itself."""

import ast
from pathlib import Path

import pytest

from mptcp_stack.build import running
from mptcp_stack.build.unit import STACK
from mptcp_stack.congestion import CongestionControl
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.phy import Device


def is_open(definition: ast.ClassDef) -> bool:
    """Whether classes of a user's may subclass it where it is compiled."""
    return any("allow_interpreted_subclasses" in ast.unparse(decorator) for decorator in definition.decorator_list)


def abstract_methods() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{file}:{definition.name}.{method.name}", method)
        for file in STACK.compiled()
        for definition in ast.walk(ast.parse(Path(STACK.package, file).read_text()))
        if isinstance(definition, ast.ClassDef) and is_open(definition)
        for method in definition.body
        if isinstance(method, ast.FunctionDef) and "abstractmethod" in map(ast.unparse, method.decorator_list)
    ]


def test_every_one_of_a_class_that_users_may_subclass_raises() -> None:
    silent = [name for name, method in abstract_methods() if not isinstance(method.body[-1], ast.Raise)]
    assert len(abstract_methods()) > 5
    assert silent == []


@pytest.mark.skipif(running() == "pure", reason="of the compiled core")
def test_a_compiled_abstract_class_knows_its_own_subclasses_alone() -> None:
    """mypyc leaves what `ABC` knows of subclasses to all: a class of one was of every other."""

    class Mine(Scheduler):
        pass

    assert issubclass(Mine, Scheduler)
    assert not issubclass(Mine, CongestionControl)
    assert not issubclass(Mine, Device)
