"""How a connection ends: the closing rules of its two streams, its subflows, and what the application is told."""

from typing import TYPE_CHECKING

from typing_extensions import override

from mptcp_stack.mptcp.closing.fast_close import FastCloseWait
from mptcp_stack.mptcp.closing.owner import ClosingOwner
from mptcp_stack.mptcp.subflow import tracepoints
from mptcp_stack.storage import Timer
from mptcp_stack.tcp import State
from mptcp_stack.tcp.errors import connection_reset
from mptcp_stack.tcp.states import SYNCHRONISED
from mptcp_stack.wire import MpFastclose

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.subflow import Subflow


class Closing(Timer):
    """The end of one connection; as a timer, when what remains of it is closed.

    ``detached``: the application has closed. ``aborting``: it wants the connection reset at the next output.
    ``data_closed``: both ends of data were exchanged, so that only subflows remain. ``lingering``: these are gone as
    well, but the peer may not know that all has arrived. ``closed``: nothing is left.
    """

    __slots__ = (
        "_connection", "_eof_seen", "_hopes", "_lost", "_peer_closed_first", "_reported", "_reprieve",
        "_subflows_closing", "aborting", "closed", "data_closed", "detached", "lingering",
    )  # fmt: skip
    __deletable__ = ("_connection",)

    def __init__(self, connection: ClosingOwner) -> None:
        super().__init__(connection.stack.context.timers, connection)
        self._connection = connection
        self.aborting = False
        self.detached = False
        self.data_closed = False
        self.lingering = False
        self.closed = False
        self._eof_seen = False
        self._peer_closed_first = False
        self._subflows_closing = False
        self._reported = False
        self._hopes: dict[tuple[bytes, bytes], None] = {}
        self._lost: OSError | None = None
        self._reprieve: Timer | None = None
        """How long to wait for a subflow, once there was none."""

    # --- the application's wishes

    def close(self) -> None:
        """Neither read nor write any more: orderly, or as ``abort`` with data unread or without a handshake."""
        if self.detached:
            return
        self.detached = True
        if self.over:
            return
        connection = self._connection
        connection.wake()
        if self.closed:
            self.report()
        elif connection.receiving.queue.length or not connection.established:
            self.abort()
        else:
            connection.shutdown()

    def abort(self) -> None:
        """Have the connection reset at its next output."""
        self.aborting = True
        if self.over:
            return
        self._connection.wake()
        if self.closed:
            self.report()

    def send_abort(self, now: int) -> None:
        """Reset every subflow, or all but one that says so on an ACK, and the connection with them (section 3.5)."""
        if self.closed:
            return
        connection = self._connection
        last: Subflow | None = None
        options: tuple[MpFastclose, ...] = ()
        if connection.is_mptcp:
            by_ack = connection.stack.config.fastclose == "ack" or not connection.version
            last = connection.carrier() if by_ack else None
            if last is None and connection.version:
                options = (MpFastclose(connection.remote_key.value),)
        self.closed = True
        for subflow in connection.subflows:
            if subflow is not last:
                connection.stack.context.counters["MPTcpExtMPFastcloseTx"] += len(options)
                subflow.endpoint.abort(now, *options)
        if last is not None:
            FastCloseWait(last, now)
        self._end(connection.error, now)

    def retries(self) -> int:
        """How many timeouts in a row mean that the peer is gone."""
        config = self._connection.stack.config
        return min(config.data_retries, config.orphan_retries) if self.detached else config.data_retries

    def limit_wait(self, now: int) -> None:
        """Nobody is there any more: wait for the peer's acknowledgements and its end of data, but not for ever."""
        connection = self._connection
        for subflow in connection.subflows:
            sender = subflow.endpoint.sender
            sender.retries = min(sender.retries, self.retries())
        waiting = not connection.receiving.finished and connection.sending.finished
        if waiting and not self.armed:
            self.set(now + connection.stack.config.fin_timeout_ns)

    # --- what arrives

    def eof_is_new(self) -> bool:
        """Whether the peer's end of data was reached since the last call."""
        connection = self._connection
        if self._eof_seen or not connection.receiving.finished:
            return False
        self._eof_seen = True
        self._peer_closed_first = not connection.sending.fin_sent
        self.subflow_came()  # what the peer has closed of its subflows it had to
        return True

    def answer_fins(self, now: int) -> None:
        """Close our half of subflows of which the peer has closed the other, where nothing can be lost by that.

        A FIN ends one direction of one subflow, as TCP's does (section 3.3.3). After the peer's DATA_FIN that is its
        duty, and what we have still to say goes over those halves. Before, it takes a path away, which is granted
        while there is another. The last one is kept as long as a connection without subflows is: the DATA_FIN may
        still come on a mere ACK.
        """
        connection = self._connection
        halves = [subflow for subflow in connection.subflows if subflow.endpoint.state is State.CLOSE_WAIT]
        if not self.data_closed:
            if connection.receiving.finished or not halves:
                return
            wait_ns = connection.stack.config.close_timeout_ns
            if wait_ns and not any(one.usable and one not in halves for one in connection.subflows):
                self._wait_for_subflow(connection_reset(), now)
                return
        for subflow in halves:
            subflow.endpoint.finish(now)

    def check_data(self, now: int) -> None:
        """Close the subflows once both streams have ended and are acknowledged (section 3.3.3)."""
        connection = self._connection
        if self.data_closed or not connection.is_mptcp:
            return
        if not (connection.receiving.finished and connection.sending.finished):
            return
        self.data_closed = True
        connection.stop()
        self.report()
        config = connection.stack.config
        if self._peer_closed_first and config.passive_close:
            self.set(now + config.passive_close_timeout_ns)
            self.answer_fins(now)
        else:
            self._close_subflows(now)

    @override
    def expire(self, now: int) -> None:
        self._close_subflows(now)

    def _close_subflows(self, now: int) -> None:
        """Close every subflow; abort what is still there a while later."""
        if self._subflows_closing or not self.data_closed:
            self.send_abort(now)
            return
        connection = self._connection
        self._subflows_closing = True
        self.set(now + connection.stack.config.fin_timeout_ns)
        for subflow in list(connection.subflows):
            if subflow.endpoint.state not in SYNCHRONISED:
                subflow.endpoint.abort(now)  # a join that came too late
            else:
                subflow.endpoint.finish(now)
        connection.wake()

    # --- the last subflow

    @property
    def may_go_on(self) -> bool:
        """Whether it is a connection of MPTCP that nobody has ended, so that a subflow more or less is no matter."""
        ended = self.data_closed or self.aborting or self.closed
        return not ended and self._connection.is_mptcp and self._connection.error is None

    def outlives(self, subflow: "Subflow", error: OSError | None) -> bool:
        """Whether the connection goes on without ``subflow``: on another one, or waiting for one.

        It can wait if the peer knows it; with what an application has left behind nobody waits for a silent peer.
        """
        connection = self._connection
        known = subflow.number > 0 or subflow.confirmed or not connection.active
        given_up = self.detached and subflow.was_up and isinstance(error, TimeoutError)
        waits = known and not given_up and connection.stack.config.close_timeout_ns > 0
        return self.may_go_on and (waits or any(other.was_up for other in connection.subflows))

    def subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        """A subflow is gone. With the last one the connection ends, or waits for another (``close_timeout_ns``).

        RFC 8684 section 3.3.3 lets it end "only after a timeout", as there may be connectivity again. It does not wait
        when all that it has lost was refused for good (section 3.6), as by a host that has forgotten it.
        """
        connection = self._connection
        goes_on = self.outlives(subflow, error)
        if goes_on:
            self._note_hope(subflow)
        if any(other.was_up for other in connection.subflows) or self._lingers(subflow, error, now):
            return
        ended = self.data_closed or (connection.is_plain and connection.sending.finished)
        error = self._lost or connection.error or error
        if error is None and not (ended or self.aborting):
            error = connection_reset()  # an orderly end that leaves data behind is none
        if not goes_on or not (self._hopes or connection.subflows):
            self._give_up(error, now)
        else:
            self._wait_for_subflow(error, now)

    def _wait_for_subflow(self, lost: OSError | None, now: int) -> None:
        """Give the connection up with this error, unless a subflow comes in time."""
        stack = self._connection.stack
        if self._reprieve is None:
            self._reprieve = stack.context.timers.timer(self._nobody_came, self._connection)
        if not self._reprieve.armed:
            self._lost = lost
            self._reprieve.set(now + stack.config.close_timeout_ns)

    def _lingers(self, subflow: "Subflow", error: OSError | None, now: int) -> bool:
        """Whether to stay for a join although both streams have ended here (TIME-WAIT of the connection, Appendix C).

        Who was reset instead of closed has a peer that may not know it, as our last DATA_ACK may not have arrived.
        """
        if not (self.data_closed and subflow.was_up and isinstance(error, ConnectionResetError)):
            return False
        if not self.lingering:
            self.lingering = self._subflows_closing = True
            self.set(now + self._connection.stack.config.passive_close_timeout_ns)
        return True

    def _note_hope(self, subflow: "Subflow") -> None:
        """Between the addresses of a subflow there may be another one, or not."""
        pair = subflow.local.ip, subflow.remote.ip
        self._hopes.pop(pair, None)
        if subflow.leaving or not subflow.refused:
            self._hopes[pair] = None
            if len(self._hopes) > self._connection.stack.config.max_subflows:
                del self._hopes[next(iter(self._hopes))]

    def subflow_came(self) -> None:
        """There is a subflow (again)."""
        if self._reprieve is not None:
            self._reprieve.cancel()
        self._lost = None

    def _nobody_came(self, now: int) -> None:
        self._give_up(self._lost, now)

    def _give_up(self, error: OSError | None, now: int) -> None:
        """No subflow will come. Nothing is lost with it if just the peer's last acknowledgement is missing."""
        connection = self._connection
        delivered = connection.is_mptcp and connection.receiving.finished and connection.sending.delivered
        self.fail(None if self.data_closed or delivered else error, now)

    # --- the end

    def fail(self, error: OSError | None, now: int) -> None:
        """Reset what is there: the connection cannot go on."""
        if self.closed:
            return
        self.closed = True
        for subflow in self._connection.subflows:
            subflow.endpoint.abort(now)
        self._end(error, now)

    def _end(self, error: OSError | None, now: int) -> None:
        """Forget everything. ``closed`` was set before the subflows went, so that none has taken the place of one."""
        connection = self._connection
        connection.subflows.clear()
        connection.error = error
        connection.stop()
        self.cancel()
        self.subflow_came()
        connection.sending.queue.forget()
        connection.receiving.forget(self.aborting or self.detached)
        if connection.known:
            self.report()
        else:
            self._reported = True  # nobody has it
        connection.forget()
        tracepoints.connection_down(connection, now)

    @property
    def over(self) -> bool:
        """Nothing is left, and the application knows."""
        return self.closed and self._reported

    @override
    def end(self) -> None:
        super().end()
        if self._reprieve is not None:
            self._reprieve.end()
        del self._connection

    def report(self) -> None:
        """Tell the application, after it has read what came before an orderly end."""
        if self._reported:
            return
        connection = self._connection
        gone = self.detached or self.aborting or connection.error is not None
        if gone or not connection.receiving.queue.length:
            self.tell()

    def tell(self) -> None:
        """Tell the application, whatever it has not read."""
        if self._reported:
            return
        self._reported = True
        self._connection.tell_closed()
