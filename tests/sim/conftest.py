"""What every run in the simulator must fulfil."""

import pytest

from mptcp_stack.sim import Network


@pytest.fixture(autouse=True)
def encodable(monkeypatch):
    """Every segment could be encoded. The stack drops and counts those that cannot, which would go unnoticed.

    A test that makes such segments clears the counter.
    """
    hosts = []
    add_host = Network.add_host

    def remember(*arguments, **settings):
        hosts.append(add_host(*arguments, **settings))
        return hosts[-1]

    monkeypatch.setattr(Network, "add_host", remember)
    yield
    assert [host.name for host in hosts if host.stack.counters["TcpOutErrs"]] == []
