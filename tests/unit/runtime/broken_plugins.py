"""Plug-ins that raise, each in one place: `broken_plugins:<kind>_<method>`."""

from mptcp_stack.congestion.reno import Reno
from mptcp_stack.mptcp.path_manager import PathManager
from mptcp_stack.mptcp.scheduler import SCHEDULERS, Scheduler


class Broken(Exception):
    pass


def fail(*_):
    raise Broken("by the plug-in")


class WakesAtOnce(PathManager):
    def on_established(self, now):
        self.wake_at(now)

    def on_timer(self, now):
        self.wake_at(now)
        fail()


class NeverLetsGo(PathManager):
    """Also at the end."""

    on_established = stop = on_subflow_closed = fail


class AsksForTooMuch(PathManager):
    def on_established(self, now):
        self.on_established(now)


def broken(base, method):
    return type("Plugin", (base,), {method: fail, "name": "broken"})


class scheduler_above(Scheduler):
    """Asks its base, which is abstract."""

    def select(self, subflows, burst_bytes):
        return super().select(subflows, burst_bytes)


_SCHEDULER = SCHEDULERS["lowest-rtt"]
scheduler_init, scheduler_select = (broken(_SCHEDULER, method) for method in ("__init__", "select"))
congestion_init, congestion_on_ack, congestion_on_congestion, congestion_on_timeout = (
    broken(Reno, method) for method in ("__init__", "on_ack", "on_congestion", "on_timeout")
)
path_manager_init, path_manager_on_established, path_manager_on_subflow_timeout = (
    broken(PathManager, method) for method in ("__init__", "on_established", "on_subflow_timeout")
)
