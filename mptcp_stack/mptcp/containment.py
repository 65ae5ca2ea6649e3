"""What becomes of an exception in the stack: one of a user's plug-in, or a mistake of ours, ends one connection."""

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.tcp import Endpoint
from mptcp_stack.tcp.errors import aborted_by


def end_connection(party: object, problem: BaseException, now: int) -> Connection | None:
    """Reset the connection that a subflow or an endpoint belongs to, or that ``party`` is; which one.

    The application gets a ConnectionAbortedError, whose cause is ``problem``.
    """
    if isinstance(party, Endpoint):
        party = party.upper
    if isinstance(party, Subflow):
        party = party.connection
    if not isinstance(party, Connection):
        return None
    end(party, aborted_by(problem), now)
    return party


def end(connection: Connection, error: OSError, now: int) -> None:
    """Abort a connection at once, whatever may be wrong with it: the application gets ``error``."""
    connection.error = error
    if connection.closing.closed:
        _tear_out(connection, now)  # it was ending when this happened: nobody else brings it to its end
        return
    try:
        connection.closing.send_abort(now)
    except Exception:
        _tear_out(connection, now)


def _tear_out(connection: Connection, now: int) -> None:
    """What hears of the end raises as well: then nobody hears of it but the application."""
    connection.closing.closed = True
    for subflow in connection.subflows:
        connection.stack.remove_flow(subflow.endpoint, now)
    connection.forget()
    connection.closing.tell()
