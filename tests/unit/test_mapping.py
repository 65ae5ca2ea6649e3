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


@pytest.mark.parametrize("in_order", [True, False])
def test_mappings_that_go_on_where_others_end_are_one(in_order: bool) -> None:
    """A peer may give one for each byte. Those before a gap stay apart from those behind it."""
    random = Random(1)
    table = MappingTable()
    places = [*range(2, 500), *range(501, 900)]
    for ssn in places if in_order else random.sample(places, len(places)):
        assert table.add(Mapping(ssn, 1000 + ssn, 1))
    assert len(table) <= 3  # the first may be one that has passed
    assert not table.covers(500)
    assert not table.add(Mapping(700, 5, 2))
    assert table.add(Mapping(900, 7000, 100))
    for ssn, dsn in ((499, 1499), (501, 1501), (899, 1899), (900, 7000)):
        found = table.find(ssn)
        assert found is not None
        assert found.dsn + ssn - found.ssn == dsn
    assert len(table) == 1
