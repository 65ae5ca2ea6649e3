"""What a path manager, or who uses it, may order at any time."""

from collections.abc import Callable
from random import Random

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.path_manager.userspace import Userspace
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT


def give_order(connection: Connection, ours: list[bytes], theirs: list[bytes], random: Random, now: int) -> str:
    """One order to a connection, its addresses being of ``ours`` and the peer's of ``theirs``; its name."""
    manager = connection.path_manager
    subflow = random.choice(connection.subflows) if connection.subflows else None

    def announce() -> None:
        manager.announce(random.choice(ours), now, random.choice([None, None, 81, 1, 65_535]))

    def withdraw() -> None:
        manager.withdraw(random.choice([*ours, connection.local.ip]), now)

    def open_subflow() -> None:
        here = [address.ip for address in connection.stack.addresses]
        remotes = connection.announcements.remotes()
        remote_id = random.choice([*remotes, 0, 77])
        remote = remotes.get(remote_id, Address(random.choice(theirs), PORT))
        local = random.choice(here if here and random.random() < 0.8 else ours)
        manager.open_subflow(local, remote_id, remote, now, random.random() < 0.3)

    def close_subflow() -> None:
        if subflow is not None:
            connection.close_subflow(subflow, now)

    def set_backup() -> None:
        if subflow is not None:
            connection.set_backup(subflow, random.random() < 0.5)

    anywhere: list[Callable[[], None]] = [close_subflow, set_backup, set_backup]
    userspace = [announce, withdraw, open_subflow, close_subflow, set_backup]
    order = random.choice(userspace if isinstance(manager, Userspace) else anywhere)
    try:
        order()
    except OSError:
        return f"{order.__name__} refused"
    return order.__name__
