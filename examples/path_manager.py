"""A path manager of one's own: which subflows a connection has.

In the simulator, without root (`simulation.py` says what it plays):

    .venv/bin/python -m examples.simulation path_manager=fullmesh path_manager=examples.path_manager:Spare

prints

    path_manager=fullmesh                                      4.28 s, WiFi 3.2 MB, mobile 2.1 MB
    path_manager=examples.path_manager:Spare                   3.31 s, WiFi 5.3 MB, mobile 0.0 MB

In the lab, beside one that opens all subflows, it prints a table and draws a figure:

    sudo ./lab run transfer --stacks python-mptcp,python-mptcp+path_manager=examples.path_manager:Spare \
        --set topology=two-paths-routed --set loads=bulk --set repetitions=1

`mptcp_stack/mptcp/path_manager/base.py` says what a path manager is told and what it can do.
"""

from mptcp_stack.mptcp.path_manager import PathManager


class Spare(PathManager):
    """One more subflow, from another address of ours, as a backup; a new one whenever it is lost."""

    name = "spare"

    def on_established(self, now):
        connection = self.connection
        for address in self.local_addresses(connection.remote.ip):
            if connection.active and address.ip != connection.local.ip:
                connection.open_subflow(address, 0, connection.remote, now, backup=True)
                return

    def on_subflow_closed(self, subflow, error, now):
        self.wake_at(now + 5_000_000_000)

    on_timer = on_established
