"""A hostile party beside two honest ones: what it can build from what it saw, and how it slips that in."""

from dataclasses import replace
from typing import Any

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.sim import MILLISECOND, Application, Host
from mptcp_stack.storage import MASK_32
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, Dss, MptcpOption, Options, Packet, Segment, complete, encode
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene

QUIET_NS = 300 * MILLISECOND


class Quiet(Application):
    """Reads, says nothing, and minds no failure."""

    def _flush(self) -> None:
        if self.connection.error is None and not self.closed:
            super()._flush()


def connected(paths: int = 2, *, mptcp: bool = True, **settings: Any) -> Scene:
    """An established connection, all subflows joined, with nothing under way."""
    scene = make_scene(1, [PATH] * paths, mptcp=mptcp, **settings)
    scene.server.listen(Address(b"", PORT), Quiet)
    scene.client.connect(SERVER, Quiet())
    scene.network.run_for(QUIET_NS)
    assert len(victim_of(scene.server).subflows) == (paths if mptcp else 1)
    return scene


def victim_of(host: Host) -> Connection:
    """The only connection of a host."""
    (connection,) = host.stack.connections
    return connection


def application_of(host: Host) -> Application:
    """Who uses that connection."""
    (application,) = host._applications.values()
    return application


def forge(subflow: Subflow, payload: bytes = b"", *mptcp: MptcpOption, **fields: Any) -> Segment:
    """A segment as the peer of `subflow` would send it now, but for `fields`; it has a DSS only if that is given."""
    endpoint = subflow.endpoint
    local, remote = endpoint.local, endpoint.remote
    options = Options(ts_val=endpoint.receiver.ts_recent, dss=fields.pop("dss", None), mptcp=mptcp)
    forged = Segment(
        remote.ip, local.ip, remote.port, local.port, endpoint.receiver.next & MASK_32,
        endpoint.sender.scoreboard.next & MASK_32, ACK, 1000, options, [memoryview(payload)] if payload else [],
        len(payload),
    )  # fmt: skip
    if "sack" in fields:
        options.sack = fields.pop("sack")
    if "later" in fields:
        options.ts_val = (options.ts_val + fields.pop("later")) & MASK_32
    forged = replace(forged, **fields)
    forged.seq, forged.ack = forged.seq & MASK_32, forged.ack & MASK_32
    return forged


def mapped(subflow: Subflow, payload: bytes, offset: int = 0, **dss: Any) -> Segment:
    """In-order payload of a subflow, mapped `offset` bytes beyond what is next in the connection, but for `dss`."""
    receiver, connection = subflow.endpoint.receiver, subflow.connection
    mapping = Dss(
        data_ack=connection.local_key.dsn(connection.sending.queue.base),
        dsn=connection.remote_key.dsn(connection.receiving.next + offset),
        ssn=(receiver.next - receiver.irs) & MASK_32,
        length=len(payload),
    )
    return forge(subflow, payload, dss=replace(mapping, **dss))


def strike(scene: Scene, victim: Host, *segments: Segment) -> list[Segment]:
    """Deliver forged segments; what the victim sends at once."""
    before = len(scene.network.trace)
    packets = [Packet([complete(encode(segment))]) for segment in segments]
    victim.stack.receive(packets, scene.network.clock.now_ns)
    victim.settle()
    sent = scene.segments()[before:]
    return [segment for _, segment in sent]


def still_works(scene: Scene, size: int = 30_000) -> None:
    """The connection carries data in both directions as if nothing had happened."""
    for sender, receiver in ((scene.client, scene.server), (scene.server, scene.client)):
        before = len(application_of(receiver).received)
        payload = bytes(range(250)) * (size // 250)
        application_of(sender).write(payload)
        sender.settle()
        scene.network.run_for(5_000 * MILLISECOND)
        assert bytes(application_of(receiver).received[before:]) == payload, scene.network.diagnosis("data are missing")
