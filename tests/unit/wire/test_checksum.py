"""Against a loop over words, as RFC 1071 describes it."""

from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.wire import checksum, ones_sum


def reference(data: bytes) -> int:
    total = 0
    for high, low in zip(data[::2], (data + b"\0")[1::2], strict=False):
        total += high << 8 | low
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_example_of_rfc_1071():
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert ones_sum((data,)) == 0xDDF2
    assert checksum((data,)) == 0xFFFF - 0xDDF2


@given(st.lists(st.binary(max_size=20), max_size=6), st.integers(0, 0xFFFF))
def test_any_buffers(buffers, initial):
    data = b"".join(buffers)
    assert ones_sum(buffers) == reference(data) % 0xFFFF
    assert checksum(map(memoryview, buffers), initial) == -(reference(data) + initial) % 0xFFFF


@given(st.integers(4000, 13000), st.integers(0, 3), st.randoms(use_true_random=False))
def test_large_buffers_at_odd_offsets(size, lead, random):
    data = random.randbytes(lead + size)
    assert ones_sum((data[:lead], data[lead:])) == reference(data) % 0xFFFF
