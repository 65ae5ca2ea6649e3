"""How a connection ends: the closing rules of its two streams, its subflows, and what the application is told."""

from typing import TYPE_CHECKING

from mptcp_stack.events import Closed
from mptcp_stack.mptcp import observing
from mptcp_stack.mptcp.fast_close import FastCloseWait
from mptcp_stack.storage import Timer
from mptcp_stack.tcp import State
from mptcp_stack.tcp.errors import connection_reset
from mptcp_stack.wire import MpFastclose

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.subflow import Subflow


class Closing:
    """The end of one connection.

    ``detached``: the application has closed. ``aborting``: it wants the connection reset at the next output.
    ``data_closed``: both ends of data were exchanged, so that only subflows remain. ``closed``: nothing is left.
    """

    __slots__ = (
        "_connection", "_eof_seen", "_peer_closed_first", "_reported", "_reprieve", "_subflows_closing", "_timer",
        "aborting", "closed", "data_closed", "detached",
    )  # fmt: skip

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.aborting = False
        self.detached = False
        self.data_closed = False
        self.closed = False
        self._eof_seen = False
        self._peer_closed_first = False
        self._subflows_closing = False
        self._reported = False
        self._reprieve: Timer | None = None
        self._timer = connection.host.context.timers.timer(self._close_subflows, connection)

    # --- the application's wishes

    def close(self) -> None:
        """See ``Connection.close``."""
        if self.detached:
            return
        connection = self._connection
        self.detached = True
        connection.wake()
        if self.closed:
            self.report()
        elif connection.receiving.queue.length or not connection.established:
            self.abort()
        else:
            connection.shutdown()

    def abort(self) -> None:
        """See ``Connection.abort``."""
        self.aborting = True
        self._connection.wake()
        if self.closed:
            self.report()

    def send_abort(self, now: int) -> None:
        """Reset every subflow, or all but one that says so on an ACK, and the connection with them (section 3.5)."""
        connection = self._connection
        last: Subflow | None = None
        options: tuple[MpFastclose, ...] = ()
        if connection.is_mptcp:
            by_ack = connection.host.config.fastclose == "ack" or not connection.version
            last = connection.carrier() if by_ack else None
            if last is None and connection.version:
                options = (MpFastclose(connection.remote_key.value),)
        for subflow in list(connection.subflows):
            if subflow is not last:
                connection.host.context.counters["MPTcpExtMPFastcloseTx"] += len(options)
                subflow.endpoint.abort(now, *options)
        if last is not None:
            FastCloseWait(last, now)
        self.finish(connection.error, now)

    def retries(self) -> int:
        """How many timeouts in a row mean that the peer is gone."""
        config = self._connection.host.config
        return min(config.data_retries, config.orphan_retries) if self.detached else config.data_retries

    def limit_wait(self, now: int) -> None:
        """Nobody is there any more: wait for the peer's acknowledgements and its end of data, but not for ever."""
        connection = self._connection
        for subflow in connection.subflows:
            sender = subflow.endpoint.sender
            sender.retries = min(sender.retries, self.retries())
        waiting = not connection.receiving.finished and connection.sending.finished
        if waiting and not self._timer.armed:
            self._timer.set(now + connection.host.config.fin_timeout_ns)

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
            wait_ns = connection.host.config.close_timeout_ns
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
        connection.sending.stop()
        connection.fallback.stop()
        connection.announcements.stop()
        connection.path_manager.stop()
        self.report()
        config = connection.host.config
        if self._peer_closed_first and config.passive_close:
            self._timer.set(now + config.passive_close_timeout_ns)
            self.answer_fins(now)
        else:
            self._close_subflows(now)

    def _close_subflows(self, now: int) -> None:
        """Close every subflow; abort what is still there a while later."""
        if self._subflows_closing or not self.data_closed:
            self.send_abort(now)
            return
        connection = self._connection
        self._subflows_closing = True
        self._timer.set(now + connection.host.config.fin_timeout_ns)
        for subflow in list(connection.subflows):
            if subflow.endpoint.state < State.ESTABLISHED:
                subflow.endpoint.abort(now)  # a join that came too late
            else:
                subflow.endpoint.finish(now)
        connection.wake()

    # --- the last subflow

    @property
    def may_go_on(self) -> bool:
        """Whether it is a connection of MPTCP that nobody has ended, so that a subflow more or less is no matter."""
        ended = self.data_closed or self.aborting or self.closed
        return self._connection.is_mptcp and not ended and self._connection.error is None

    def last_subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        """No subflow is left: wait a while for another one, if that may still come, before giving up.

        RFC 8684 leaves the connection alive; Linux waits ``close_timeout``. A refused join shows that the peer has
        forgotten the connection; who has timed out has been waited for; what was refused for good stays refused.
        """
        connection = self._connection
        forgotten = subflow.number > 0 and isinstance(error, ConnectionRefusedError)
        hopeless = forgotten or subflow.refused or isinstance(error, TimeoutError) or not self.may_go_on
        known = subflow.number > 0 or subflow.confirmed or not connection.active
        error = connection.error or error
        ended = self.data_closed or (connection.is_plain and connection.sending.finished)
        if forgotten or (error is None and not ended and not self.aborting):
            error = connection_reset()  # an orderly end that leaves data behind is none
        wait_ns = connection.host.config.close_timeout_ns
        if error is None or hopeless or not (known and wait_ns):
            self.finish(None if self.data_closed else error, now)
            return
        self._wait_for_subflow(error, now)

    def _wait_for_subflow(self, lost: OSError, now: int) -> None:
        """Give the connection up with this error, unless a subflow comes in time."""
        self.subflow_came()
        connection = self._connection
        self._reprieve = connection.host.context.timers.timer(lambda now: self.fail(lost, now), connection)
        self._reprieve.set(now + connection.host.config.close_timeout_ns)

    def subflow_came(self) -> None:
        """There is a subflow (again)."""
        if self._reprieve is not None:
            self._reprieve.cancel()
            self._reprieve = None

    # --- the end

    def fail(self, error: OSError, now: int) -> None:
        """Reset what is there: the connection cannot go on."""
        connection = self._connection
        connection.error = error
        for subflow in list(connection.subflows):
            subflow.endpoint.abort(now)
        self.finish(error, now)

    def finish(self, error: OSError | None, now: int) -> None:
        """No subflow is left."""
        if self.closed:
            return
        connection = self._connection
        self.closed = True
        connection.error = error
        connection.sending.stop()
        connection.fallback.stop()
        connection.announcements.stop()
        connection.path_manager.stop()
        self._timer.cancel()
        self.subflow_came()
        if connection.listener is None or connection.established:
            self.report()
        connection.host.remove(connection)
        observing.connection_down(connection, now)

    def report(self) -> None:
        """Tell the application, after it has read what came before an orderly end."""
        connection = self._connection
        gone = self.detached or self.aborting or connection.error is not None
        if not self._reported and (gone or not connection.receiving.queue.length):
            self._reported = True
            connection.host.emit(Closed(connection, connection.error))
