"""What the peer's MPTCP options other than DSS bring about (RFC 8684 section 3)."""

from typing import TYPE_CHECKING

from mptcp_stack.mptcp.keys import same
from mptcp_stack.tcp.errors import connection_reset
from mptcp_stack.wire import AddAddr, MpCapable, MpFastclose, MpPrio, Options, RemoveAddr

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.subflow import Subflow


def on_options(subflow: "Subflow", options: Options, now: int) -> None:
    """Act on the MPTCP options of a segment of ``subflow``."""
    connection = subflow.connection
    for option in options.mptcp:
        match option:
            case MpCapable() if option.data_length:
                subflow.map_first(option.data_length)
            case AddAddr():
                connection.announcements.receive(option, now)
            case RemoveAddr():
                _on_remove_addr(connection, option, now)
            case MpPrio():
                subflow.backup = option.backup
            case MpFastclose():
                on_fastclose(connection, option, now)


def _on_remove_addr(connection: "Connection", option: RemoveAddr, now: int) -> None:
    for address_id in option.address_ids:
        connection.count("MPTcpExtRmAddr")
        connection.announcements.withdrawn(address_id)
        for subflow in list(connection.subflows):
            if subflow.remote_id == address_id and len(connection.subflows) > 1:
                subflow.endpoint.abort(now)
        connection.path_manager.on_address_removed(address_id, now)


def on_fastclose(connection: "Connection", option: MpFastclose, now: int) -> None:
    """The peer aborts the connection (section 3.5), if it knows our key."""
    if not same(option.receiver_key, connection.local_key.value) or connection.closing.closed:
        return
    connection.count("MPTcpExtMPFastcloseRx")
    connection.closing.fail(connection_reset(), now)
