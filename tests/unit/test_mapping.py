"""The table of mappings against a model that writes down each byte."""

from random import Random

import pytest

from mptcp_stack.mptcp.mapping import Mapping, MappingTable


@pytest.mark.parametrize("seed", range(50))
def test_what_was_said_first_stays(seed: int) -> None:
    """A mapping is taken as a whole if it contradicts nothing, and else not at all."""
    random = Random(seed)
    table = MappingTable()
    said: dict[int, int] = {}
    for _ in range(60):
        ssn, length = random.randrange(1, 100), random.randrange(1, 30)
        dsn = ssn + random.choice([1000, 1000, 1000, 2000])
        agrees = all(said.get(ssn + offset, dsn + offset) == dsn + offset for offset in range(length))
        assert table.add(Mapping(ssn, dsn, length)) == agrees
        if agrees:
            said.update({ssn + offset: dsn + offset for offset in range(length)})
        assert all(table.covers(byte) == (byte in said) for byte in range(140))
    for byte in range(140):
        found = table.find(byte)
        assert (found and found.dsn + byte - found.ssn) == said.get(byte)
