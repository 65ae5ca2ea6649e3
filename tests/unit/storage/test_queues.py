"""Send queue, receive queue and reassembly against naive models on flat bytes."""

from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.storage import Chunks, Reassembly, ReceiveQueue, SendQueue, cut, length_of, tail_agrees, tail_of

CONTENT = bytes(range(256)) * 32
bases = st.sampled_from([0, 1, 2**32 - 50, 2**32 - 1, 2**32, 2**64 - 10])


def flat(chunks: Chunks) -> bytes:
    return b"".join(chunks)


def chunked(data: bytes, sizes: list[int]) -> Chunks:
    chunks, offset = [], 0
    for size in sizes:
        chunks.append(memoryview(data)[offset : offset + size])
        offset += size
    return [*chunks, memoryview(data)[offset:]]


@given(st.binary(max_size=80), st.lists(st.integers(0, 20), max_size=8), st.data())
def test_cut_is_a_slice(data: bytes, sizes: list[int], draw: st.DataObject) -> None:
    chunks = chunked(data, sizes)
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, len(data)))
    assert flat(cut(chunks, start, end)) == data[start:end]
    assert length_of(chunks) == len(data)


@given(bases, st.data())
def test_reassembly_in_any_order_with_overlaps(base: int, draw: st.DataObject) -> None:
    total = draw.draw(st.integers(1, 200))
    piece = st.tuples(st.integers(0, total - 1), st.integers(0, 60))
    pieces = draw.draw(st.lists(piece, max_size=30))
    pieces += [(start, 17) for start in draw.draw(st.permutations(range(0, total, 17)))]
    reassembly = Reassembly(base)
    have: set[int] = set()
    delivered = b""
    for start, length in pieces:
        data = CONTENT[start : min(start + length, total)]
        have |= set(range(start, start + len(data)))
        delivered += flat(reassembly.insert(base + start, chunked(data, [3, 5]), len(data)))
        in_order = next(n for n in range(total + 1) if n not in have)
        assert reassembly.next == base + in_order
        assert delivered == CONTENT[:in_order]
        held = {value for value in have if value >= in_order}
        assert reassembly.held_bytes == len(held)
        assert {v for s, e in reassembly.ranges for v in range(s, e)} == {base + value for value in held}
    assert delivered == CONTENT[:total]
    assert reassembly.held_bytes == 0


def test_reassembly_keeps_the_bytes_that_came_first() -> None:
    reassembly = Reassembly(0)
    reassembly.insert(4, [memoryview(b"first")], 5)
    assert flat(reassembly.insert(0, [memoryview(b"....other...")], 12)) == b"....first..."


def test_reassembly_knows_the_latest_arrivals() -> None:
    reassembly = Reassembly(0)
    for start in (20, 10, 30, 12):
        reassembly.insert(start, [memoryview(b"ab")], 2)
    assert [reassembly.ranges.range_at(one) for one in reassembly.recent] == [(10, 14), (30, 32), (20, 22)]
    reassembly.insert(20, [memoryview(b"ab")], 2)
    assert [reassembly.ranges.range_at(one) for one in reassembly.recent] == [(20, 22), (10, 14), (30, 32)]


@given(st.data())
def test_reassembly_tells_whether_overlaps_agree(draw: st.DataObject) -> None:
    """CONTENT has no period as short as these pieces: what is moved disagrees at once."""
    piece = st.tuples(st.integers(0, 150), st.integers(1, 40))
    reassembly = Reassembly(0)
    held: set[int] = set()
    for start, length in draw.draw(st.lists(piece, max_size=10)):
        reassembly.insert(1 + start, chunked(CONTENT[start : start + length], [3, 5]), length)
        held |= set(range(start, start + length))
    held = {value for value in held if 1 + value >= reassembly.next}
    start, length = draw.draw(piece)
    assert reassembly.agrees(1 + start, chunked(CONTENT[start : start + length], [7]))
    other = bytes(byte ^ 1 for byte in CONTENT[start : start + length])
    assert reassembly.agrees(1 + start, chunked(other, [7])) == held.isdisjoint(range(start, start + length))
    reassembly.forget()
    assert reassembly.agrees(1 + start, chunked(other, [7]))
    assert (reassembly.held_bytes, list(reassembly.ranges)) == (0, [])


@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 100))
def test_tail_knows_what_was_handed_on(length: int, overlap: int, more: int) -> None:
    tail, overlap = tail_of(chunked(CONTENT[:length], [length // 2])), min(overlap, length)
    piece = CONTENT[length - overlap : length + more]
    assert tail_agrees(tail, chunked(piece, [11]), overlap)
    assert not tail_agrees(tail, chunked(piece[: overlap - 1] + b"?" + piece[overlap:], [11]), overlap)


@given(st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 60))))
def test_receive_queue_is_a_byte_string(script: list[bytes | int]) -> None:
    queue, model = ReceiveQueue(), b""
    for step in script:
        if isinstance(step, bytes):
            queue.extend(chunked(step, [1, 7]))
            model += step
        else:
            assert flat(queue.take(step)) == model[:step]
            model = model[step:]
        assert queue.length == len(model)


writes = st.one_of(
    st.integers(0, 50).map(lambda n: CONTENT[:n]),
    st.integers(2000, 5000).map(lambda n: CONTENT[:n]),
)


@given(bases, st.lists(st.one_of(writes, st.tuples(st.sampled_from("trp"), st.integers(0, 6000)))))
def test_send_queue_is_a_byte_string(base: int, script: list[bytes | tuple[str, int]]) -> None:
    queue, stream = SendQueue(base), b""
    taken = released = 0
    for step in script:
        if isinstance(step, bytes):
            queue.append(memoryview(step))
            stream += step
        elif step[0] == "t":
            assert flat(queue.take(step[1])) == stream[taken : taken + step[1]]
            taken = min(taken + step[1], len(stream))
        elif step[0] == "r":
            released = min(released + step[1], taken)
            queue.release(base + released)
        else:
            assert flat(queue.peek(base + released, base + step[1])) == stream[released : step[1]]
        assert (queue.base, queue.next, queue.end) == (base + released, base + taken, base + len(stream))
        assert queue.queued_bytes == len(stream) - released
        assert queue.unsent_bytes == len(stream) - taken


def test_many_small_writes_that_wait_become_few_views() -> None:
    queue = SendQueue(0)
    for _ in range(1000):
        queue.append(memoryview(b"x" * 10))
    assert len(queue.take(10_000)) < 10
