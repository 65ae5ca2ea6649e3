"""The features, one file for each group. Adding one: a `Scenario` in the tuple of its group."""

from testbed.interop.features import addresses, closing, data, fallback, handshake, joins, tcp
from testbed.interop.scenario import Scenario

GROUPS: dict[str, tuple[Scenario, ...]] = {
    group.__name__.rpartition(".")[2]: group.SCENARIOS
    for group in (handshake, fallback, data, joins, addresses, closing, tcp)
}
"""The features of each group, by its file's name."""

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for group in GROUPS.values() for scenario in group}
"""All features by name, in the order of the table."""
