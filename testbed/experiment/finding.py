"""Experiments by name, and their parameters as a user sets them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from typing import Any

from testbed.errors import LabError
from testbed.experiment import own
from testbed.experiment.base import Experiment
from testbed.input.validation import unknown, validate
from testbed.spec.templates import template_header


def experiment_names() -> list[str]:
    """Return the names of all experiments, without importing any."""
    import experiments

    modules = pkgutil.iter_modules(experiments.__path__)
    return sorted(module.name.replace("_", "-") for module in modules if not module.name.startswith("_"))


def experiment_class(name: str) -> type[Experiment[Any]]:
    """Return the class of the experiment `name`: one of the lab's, or a user's by file (`./mine.py`) or `module:Class`.

    Raises LabError with what is allowed, and for what is wrong in a user's, with file and line.
    """
    names = experiment_names()
    if own.is_own(name):
        return own.experiment_class(name, Experiment, names)
    if name not in names:
        raise LabError(f"{unknown('experiment', name, names)}; or one of your own: ./FILE.py or module:Class")
    module = importlib.import_module(f"experiments.{name.replace('-', '_')}")
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Experiment) and getattr(member, "name", None) == name
    ]
    if len(found) != 1:
        raise LabError(f"{module.__file__}: must define one subclass of Experiment with name = {name!r}")
    return found[0]


def resolve(experiment: type[Experiment[Any]], scale: str | None, settings: Sequence[str]) -> Experiment[Any]:
    """Return `experiment` at `scale` (None: its default), with `settings` ("key=value") put over its table.

    A key may also be a parameter of the topology that the experiment leaves alone.

    Raises LabError with the allowed values for an unknown scale or parameter or a refused value.
    """
    scale = scale or next(iter(experiment.scales))
    if scale not in experiment.scales:
        raise LabError(f"--scale: {unknown('scale', scale, experiment.scales)}")
    table = experiment.scales[scale]
    values, given = table.model_dump(), parse_settings(settings)
    changes = {key: value for key, value in given.items() if key in values}
    resolved = experiment(validate(type(table), values | changes, "--set", written=False))
    resolved.asked = tuple(changes)
    resolved.template_settings = {key: value for key, value in given.items() if key not in values}
    if resolved.template_settings:
        declared = template_header(resolved.template).parameters
        for key in resolved.template_settings:
            if key not in declared:
                raise LabError(f"--set: {unknown('parameter', key, dict.fromkeys([*values, *declared]))}")
    return resolved


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """Return the "key=value" texts of `--set` as a mapping. Raises LabError for another form."""
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise LabError(f"--set {setting}: must be key=value")
        pairs[key] = value
    return pairs
