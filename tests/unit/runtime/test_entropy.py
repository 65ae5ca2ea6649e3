"""Random numbers in blocks are as random as without, cost few system calls, and a fork has others."""

import os

import pytest

from mptcp_stack.runtime.entropy import BLOCK_BYTES, BlockRandom


def test_a_block_is_one_system_call(monkeypatch):
    calls = []
    urandom = os.urandom
    monkeypatch.setattr(os, "urandom", lambda size: calls.append(size) or urandom(size))
    entropy = BlockRandom()
    drawn = [entropy.randbytes(8) for _ in range(BLOCK_BYTES // 8)]
    assert calls == [BLOCK_BYTES]
    assert len(set(drawn)) == len(drawn)
    assert len(entropy.randbytes(BLOCK_BYTES + 1)) == BLOCK_BYTES + 1


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 16, 53, 64])
def test_numbers_have_all_their_bits_and_no_more(bits):
    entropy = BlockRandom()
    ever = 0
    for _ in range(200):
        number = entropy.getrandbits(bits)
        assert 0 <= number < 1 << bits
        ever |= number
    assert ever == (1 << bits) - 1


def test_ranges_and_fractions():
    entropy = BlockRandom()
    assert {entropy.randrange(5) for _ in range(500)} == set(range(5))
    fractions = [entropy.random() for _ in range(500)]
    assert 0 <= min(fractions) < 0.1 < 0.9 < max(fractions) < 1
    with pytest.raises(ValueError, match="non-negative"):
        entropy.getrandbits(-1)


def test_a_fork_draws_others():
    entropy = BlockRandom()
    entropy.randbytes(8)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, entropy.randbytes(16))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 16)
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 16
    assert theirs != entropy.randbytes(16)
