"""Sequence arithmetic holds across every wrap."""

from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.storage import MASK_32, MASK_64, expand_32, expand_64

AROUND_WRAP_32 = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 3 * 2**32 - 1]


@given(st.integers(0, 2**70), st.integers(-(2**31), 2**31 - 1))
def test_expand_32_finds_the_number_it_was_cut_from(near: int, distance: int) -> None:
    true = near + distance
    assert expand_32(true & MASK_32, near) == true


@given(st.integers(0, 2**70), st.integers(-(2**63), 2**63 - 1))
def test_expand_64_finds_the_number_it_was_cut_from(near: int, distance: int) -> None:
    true = near + distance
    assert expand_64(true & MASK_64, near) == true


@given(st.sampled_from(AROUND_WRAP_32), st.integers(-70_000, 70_000))
def test_expand_32_around_the_wrap(near: int, distance: int) -> None:
    assert expand_32((near + distance) & MASK_32, near) == near + distance


def test_half_the_space_away_is_behind() -> None:
    assert expand_32(0x8000_0000, 0) == -(2**31)
    assert expand_64(1 << 63, 0) == -(2**63)
