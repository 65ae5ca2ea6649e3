"""The features, one file for each group. Adding one: a `Scenario` in the tuple of its group."""

from testbed.interop.features import addresses, closing, data, fallback, handshake, joins, tcp
from testbed.interop.scenario import Scenario

GROUPS = (handshake, fallback, data, joins, addresses, closing, tcp)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for group in GROUPS for scenario in group.SCENARIOS}
"""All features by name, in the order of the table."""
