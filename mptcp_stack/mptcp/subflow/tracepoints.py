"""Tracepoints: where connections and subflows tell the stack's observer, if there is one, what happens to them."""

from typing import TYPE_CHECKING

from mptcp_stack import observe
from mptcp_stack.mptcp.control_block import ControlBlock
from mptcp_stack.texts import address_text

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.subflow import Subflow
    from mptcp_stack.tcp import Record


def connection_up(connection: ControlBlock, now: int) -> None:
    """The first handshake of ``connection`` is complete."""
    if (observer := connection.stack.context.shared.observer) is not None:
        observer(observe.ConnectionUp(now, connection.number, connection.id, connection.is_mptcp, connection.active))


def connection_down(connection: ControlBlock, now: int) -> None:
    """Nothing more happens on ``connection``; it keeps the error that ended it."""
    if (observer := connection.stack.context.shared.observer) is not None:
        observer(observe.ConnectionDown(now, connection.number, _text(connection.error)))


def fallback(connection: ControlBlock, now: int) -> None:
    """``connection`` goes on as plain TCP."""
    if (observer := connection.stack.context.shared.observer) is not None:
        observer(observe.Fallback(now, connection.number))


def subflow_up(subflow: "Subflow", now: int) -> None:
    """The TCP handshake of ``subflow`` is complete."""
    connection = subflow.connection
    if (observer := connection.stack.context.shared.observer) is not None:
        local, remote = address_text(*subflow.local), address_text(*subflow.remote)
        joined = subflow.number > 0
        observer(observe.SubflowUp(now, connection.number, subflow.number, local, remote, joined, subflow.backup))


def subflow_down(subflow: "Subflow", error: OSError | None, now: int) -> None:
    """``subflow`` is closed or in TIME-WAIT; ``error`` is None when it ended in order."""
    connection = subflow.connection
    if (observer := connection.stack.context.shared.observer) is not None:
        observer(observe.SubflowDown(now, connection.number, subflow.number, _text(error)))


def sent(
    kind: type[observe.DataSent | observe.Reinjected], subflow: "Subflow", record: "Record", dsn: int, now: int
) -> None:
    """``record`` left on ``subflow`` for the first time, as new data or as a reinjection."""
    connection = subflow.connection
    if (observer := connection.stack.context.shared.observer) is not None:
        ssn = record.seq - subflow.endpoint.iss
        first = _first_sent(connection)
        observer(kind(now, connection.number, subflow.number, ssn, first + dsn, record.length))


def retransmitted(subflow: "Subflow", record: "Record", now: int) -> None:
    """``record`` left on ``subflow`` again, as TCP takes it for lost."""
    connection = subflow.connection
    if (observer := connection.stack.context.shared.observer) is not None:
        ssn = record.seq - subflow.endpoint.iss
        mapping = record.mapping
        dsn = None if mapping is None else _first_sent(connection) + mapping.dsn + ssn - mapping.ssn
        observer(
            observe.Retransmitted(now, connection.number, subflow.number, ssn, dsn, record.length, record.transmissions)
        )


def timed_out(subflow: "Subflow", now: int) -> None:
    """The retransmission timer of ``subflow`` expired, and is set to its next time."""
    connection = subflow.connection
    if (observer := connection.stack.context.shared.observer) is not None:
        observer(observe.TimedOut(now, connection.number, subflow.number, subflow.endpoint.sender.rtt.rto_ns))


def acknowledged(subflow: "Subflow", now: int) -> None:
    """The peer acknowledged something on ``subflow``, and the sender has drawn its conclusions."""
    connection = subflow.connection
    if (observer := connection.stack.context.shared.observer) is not None:
        sender = subflow.endpoint.sender
        control, rtt, scoreboard = sender.control, sender.rtt, sender.scoreboard
        data_ack = _first_sent(connection) + subflow.sending.queue.base
        observer(
            observe.Acknowledged(
                now, connection.number, subflow.number,
                ssn=scoreboard.una - subflow.endpoint.iss,
                data_ack=data_ack,
                window_edge=data_ack + subflow.sending.window_bytes,
                cwnd_bytes=int(control.cwnd),
                ssthresh_bytes=None if control.ssthresh == float("inf") else int(control.ssthresh),
                in_flight_bytes=scoreboard.in_flight,
                rtt_ns=rtt.latest_ns,
                srtt_ns=rtt.srtt_ns,
                rto_ns=rtt.rto_ns,
            )
        )  # fmt: skip


def data_received(subflow: "Subflow", ssn: int, length: int, now: int) -> None:
    """``length`` bytes from ``ssn`` on arrived in the order of ``subflow``."""
    connection = subflow.connection
    if (observer := connection.stack.context.shared.observer) is not None:
        data_next = _first_received(connection) + connection.receiving.next
        observer(observe.DataReceived(now, connection.number, subflow.number, ssn, length, data_next))


def _first_sent(connection: ControlBlock) -> int:
    """The data sequence number of the first byte that we send, unwrapped: on the wire it is cut to 64 bits."""
    return connection.local_key.idsn + 1


def _first_received(connection: ControlBlock) -> int:
    """The same of the peer's first byte; 0 from a peer that has not said its key."""
    return 0 if connection.remote_key is connection.local_key else connection.remote_key.idsn + 1


def _text(error: OSError | None) -> str | None:
    return None if error is None else error.strerror or str(error)
