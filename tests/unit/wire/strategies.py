"""Any value that the wire can carry."""

from hypothesis import strategies as st

from mptcp_stack.wire import (
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MpTcpRst,
    Options,
    RemoveAddr,
    Segment,
    UnknownMptcp,
)


def bits(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**count - 1)


def octets(count: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


KEY = octets(8)
ADDRESS = octets(4) | octets(16)
PORT = st.none() | bits(16)

CAPABLE = st.one_of(
    st.builds(MpCapable, bits(4), bits(8)),
    st.builds(MpCapable, bits(1), bits(8), KEY),
    st.builds(MpCapable, bits(1), bits(8), KEY, KEY),
    st.builds(MpCapable, bits(1), bits(8), KEY, KEY, bits(16)),
    st.builds(MpCapable, bits(1), bits(8), KEY, KEY, bits(16), bits(16)),
)
ADD_ADDR = st.one_of(
    st.builds(AddAddr, bits(8), ADDRESS, PORT, KEY),
    st.builds(AddAddr, bits(8), ADDRESS, PORT, st.none(), st.booleans()),
)
MPTCP = st.one_of(
    CAPABLE,
    st.builds(MpJoinSyn, st.booleans(), bits(8), bits(32), octets(4)),
    st.builds(MpJoinSynAck, st.booleans(), bits(8), KEY, octets(4)),
    st.builds(MpJoinAck, octets(20)),
    ADD_ADDR,
    st.builds(RemoveAddr, st.lists(bits(8), min_size=1, max_size=8).map(tuple)),
    st.builds(MpPrio, st.booleans(), st.none() | bits(8)),
    st.builds(MpFail, bits(64)),
    st.builds(MpFastclose, KEY),
    st.builds(MpTcpRst, bits(4), bits(8)),
    st.builds(lambda rest: UnknownMptcp(9, b"\x9f" + rest), st.binary(max_size=12)),
)


@st.composite
def dss(draw: st.DrawFn) -> Dss:
    value = Dss(data_fin=draw(st.booleans()))
    if draw(st.booleans()):
        value.data_ack_64 = draw(st.booleans())
        value.data_ack = draw(bits(64 if value.data_ack_64 else 32))
    if draw(st.booleans()):
        value.dsn_64 = draw(st.booleans())
        value.dsn = draw(bits(64 if value.dsn_64 else 32))
        value.ssn, value.length = draw(bits(32)), draw(bits(16))
        value.checksum = draw(st.none() | bits(16))
    return value


TIMESTAMPS = st.just({}) | st.fixed_dictionaries({"ts_val": bits(32), "ts_ecr": bits(32)})
SYN_FIELDS = st.fixed_dictionaries(
    {"mss": st.none() | bits(16), "window_scale": st.none() | bits(8), "sack_permitted": st.booleans()}
)

# Every combination fits in 40 bytes, but for SACK blocks.
OPTIONS = st.one_of(
    st.builds(lambda ts, syn: Options(**ts, **syn), TIMESTAMPS, SYN_FIELDS),
    st.builds(
        lambda syn, mptcp: Options(**syn, mptcp=(mptcp,)),
        SYN_FIELDS,
        MPTCP.filter(lambda o: len(o.encode()) <= 22),
    ),
    st.builds(lambda ts, dss: Options(**ts, dss=dss), TIMESTAMPS, dss()),
    st.builds(
        lambda ts, mptcp: Options(**ts, mptcp=(mptcp,)),
        TIMESTAMPS,
        MPTCP.filter(lambda o: len(o.encode()) <= 26),
    ),
    st.builds(
        lambda ts, blocks: Options(**ts, sack=tuple(blocks)),
        TIMESTAMPS,
        st.lists(st.tuples(bits(32), bits(32)), max_size=3),
    ),
)


def segments(max_size: int = 3000) -> st.SearchStrategy[Segment]:
    def build(addresses, numbers, options, payload, gso_size, ecn):
        views = [memoryview(chunk) for chunk in payload]
        return Segment(*addresses, *numbers, options, views, sum(map(len, views)), gso_size, ecn)

    return st.builds(
        build,
        st.tuples(octets(4), octets(4)) | st.tuples(octets(16), octets(16)),
        st.tuples(bits(16), bits(16), bits(32), bits(32), bits(8), bits(16)),
        OPTIONS,
        st.lists(st.binary(min_size=1, max_size=max_size // 3), max_size=3),
        st.integers(1, 1460),
        bits(2),
    )
