"""What an observer is told, and that it agrees with what was on the wire."""

import json

from mptcp_stack import observe
from tests.sim.scenes import DOWNLOAD, PATH, UPLOAD, exchange, impaired, make_scene, rewrite, without_mptcp


def observed(scene, host):
    seen = []
    host.stack.observe(seen.append)
    exchange(scene, UPLOAD, DOWNLOAD)
    return seen


def of(kind, seen):
    return [observation for observation in seen if type(observation) is kind]


def test_the_life_of_a_connection_over_two_paths():
    scene = make_scene(1)
    seen = observed(scene, scene.client)
    (up,) = of(observe.ConnectionUp, seen)
    assert (up.connection, up.mptcp, up.active) == (1, True, True)
    subflows = of(observe.SubflowUp, seen)
    assert [(one.subflow, one.joined) for one in subflows] == [(0, False), (1, True)]
    assert subflows[1].local.startswith("10.0.2.101:")
    assert subflows[1].remote == "10.0.2.102:80"
    assert len(of(observe.SubflowDown, seen)) == 2
    assert [one.error for one in of(observe.ConnectionDown, seen)] == [None]
    assert [one.time_ns for one in seen] == sorted(one.time_ns for one in seen)


def test_sent_data_are_the_stream_without_a_gap():
    scene = make_scene(1)
    seen = of(observe.DataSent, observed(scene, scene.client))
    expected = seen[0].dsn
    for one in seen:
        assert one.dsn == expected
        expected += one.length_bytes
    assert expected - seen[0].dsn == len(UPLOAD)
    assert {one.subflow for one in seen} == {0, 1}


def test_received_data_advance_the_connection():
    scene = make_scene(1)
    seen = of(observe.DataReceived, observed(scene, scene.server))
    assert sum(one.length_bytes for one in seen) == len(UPLOAD)
    assert [one.data_next for one in seen] == sorted(one.data_next for one in seen)


def test_losses_are_seen():
    scene = make_scene(3, (impaired(loss=0.02), impaired(loss=0.02)))
    seen = observed(scene, scene.client)
    counters = scene.client.stack.counters
    assert sum(1 for one in of(observe.Retransmitted, seen)) > 0
    assert len(of(observe.TimedOut, seen)) == counters["TcpExtTCPTimeouts"]
    assert len(of(observe.Reinjected, seen)) == counters["MPTcpExtReinjections"]


def test_acknowledgements_tell_window_and_round_trip():
    scene = make_scene(1)
    seen = of(observe.Acknowledged, observed(scene, scene.client))
    assert max(one.cwnd_bytes for one in seen) > 14_000
    assert all(one.srtt_ns >= 2 * PATH.delay_ns for one in seen)
    assert max(one.ssn for one in seen if one.subflow == 0) > 1


def test_a_fallback_is_told():
    def change(segment):
        without_mptcp(segment)
        return True

    scene = make_scene(1, middlebox=rewrite(change))
    seen = observed(scene, scene.client)
    assert len(of(observe.Fallback, seen)) == 1
    assert [one.mptcp for one in of(observe.ConnectionUp, seen)] == [False]


def test_every_observation_is_a_line_of_json():
    scene = make_scene(3, (impaired(loss=0.02), impaired(loss=0.02)))
    for observation in observed(scene, scene.client):
        line = observe.as_json(observation)
        assert "\n" not in line
        fields = json.loads(line)
        assert fields["event"] == type(observation).__name__
        assert fields["time_ns"] == observation.time_ns
