"""Topologies: what the templates give, and that whatever is wrong becomes one line that says where and why."""

from math import isfinite

import pytest
import yaml

from testbed.errors import LabError
from testbed.input.validation import validate
from testbed.spec import Topology
from testbed.spec.templates import load_topology, template_header, topology_names
from testbed.units import RATE, SIZE, TIME, format_rate, parse_probability

HEADER = "{# summary: a test\nparameters:\n  rate: {default: 5 Mbit/s, help: the rate} #}\n"


def two_hosts(**changes):
    """A valid topology as plain data; `changes` are written over its only link."""
    link = {
        "name": "path1",
        "ends": [
            {"host": "client", "interface": "client-eth1", "address": "10.0.1.1/24"},
            {"host": "server", "interface": "server-eth1", "address": "10.0.1.2/24"},
        ],
        "rate": "50 Mbit/s",
        "queue": "100 kB",
    }
    return {"name": "test", "hosts": [{"name": "client"}, {"name": "server"}], "links": [link | changes]}


def end(host, interface, address, **more):
    return {"host": host, "interface": interface, "address": address, **more}


CLIENT, SERVER = two_hosts()["links"][0]["ends"]


def second_link(client="10.0.2.1/24", server="10.0.2.2/24", **changes):
    ends = [end("client", "client-eth2", client), end("server", "server-eth2", server)]
    return two_hosts(name="path2", ends=ends, **changes)["links"][0]


# --- what is right -------------------------------------------------------------------------------------------


def extremes(parameter):
    """Values at the ends of what a parameter may be."""
    ends = [end for end in (parameter.minimum, parameter.maximum) if isfinite(end)]
    return [*parameter.choices, *map(int, ends)]


@pytest.mark.parametrize("name", topology_names())
def test_every_topology_renders_with_its_parameters(name):
    for parameter, about in template_header(name).parameters.items():
        for value in extremes(about):
            given = {parameter: value} | ({"rate": "none"} if parameter == "wire" else {})
            topology = load_topology(name, given)
            assert topology.name == name
            if parameter == "paths":
                assert len(topology.interfaces("client")) == value


@pytest.mark.parametrize("name", [name for name in topology_names() if "rate" in template_header(name).parameters])
@pytest.mark.parametrize(("rate", "bps"), [("1 Gbit/s", 10**9), ("none", None)])
def test_a_rate_is_that_of_links(name, rate, bps):
    rates = {link.rate_bps for link in load_topology(name, {"rate": rate}).links}
    assert bps in rates
    assert rates <= {bps, None} | ({100_000_000} if name == "proxy-chain" else set())


def test_the_direct_topology_follows_the_address_plan():
    topology = load_topology("two-paths")
    assert [str(end.address) for end in topology.interfaces("client")] == ["10.0.1.1/24", "10.0.2.1/24"]
    assert [str(end.stack_address) for end in topology.interfaces("server")] == ["10.0.1.102/24", "10.0.2.102/24"]
    assert (topology.links[0].rate_bps, topology.links[0].queue_bytes) == (50_000_000, 100_000)


def test_every_template_parameter_is_documented():
    for name in topology_names():
        header = template_header(name)
        assert header.summary
        assert all(parameter.help for parameter in header.parameters.values())


def test_a_template_of_the_users_own(tmp_path):
    path = tmp_path / "mine.yaml.j2"
    path.write_text(HEADER + yaml.safe_dump(two_hosts(rate="RATE")).replace("RATE", "{{ rate }}"))
    assert load_topology(str(path)).links[0].rate_bps == 5_000_000
    assert load_topology(str(path), {"rate": "7 Mbit/s"}).links[0].rate_bps == 7_000_000


def test_a_template_elsewhere_builds_on_the_labs_own(tmp_path):
    path = tmp_path / "slow.yaml.j2"
    path.write_text(
        "{# {summary: x, parameters: {rate: {default: 1 Mbit/s, help: r}}} #}{% extends 'two-paths.yaml.j2' %}"
    )
    topology = load_topology(str(path), {"paths": 3})
    assert (topology.name, len(topology.links), topology.links[0].rate_bps) == ("slow", 3, 1_000_000)
    path = tmp_path / "own.yaml.j2"
    path.write_text(
        """{# summary: x #}{% import "macros.j2" as lab %}{% import "own.j2" as own %}
name: own
hosts: [{name: client}, {name: server}]
links:
{{- lab.link(own.name, lab.host("client", 1, "10.0.1", 1, false), lab.host("server", 1, "10.0.1", 2, false)) }}
"""
    )
    (tmp_path / "own.j2").write_text("{% set name = 'wire' %}")
    assert [link.name for link in load_topology(str(path)).links] == ["wire"]


def test_a_topology_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_topology("two-paths").name = "other"


def kind(**changes):
    return validate(Topology, two_hosts(**changes), "x").links[0].kind


def test_the_backend_is_the_simplest_that_can_do_the_link():
    assert kind() == "tc"
    assert kind(rate="none", queue="none") == "direct"
    assert kind(delay="1 ms") == kind(reverse={"loss": "1 %"}) == kind(backend="emulator") == "emulator"
    assert kind(reverse={"rate": "none", "queue": "none"}) == "emulator"


def test_the_reverse_direction_differs_in_what_it_names_only():
    link = validate(Topology, two_hosts(delay="5 ms", loss="1 %", reverse={"rate": "2 Mbit/s", "loss": 0}), "x").links[
        0
    ]
    there, back = link.directions
    assert (there.rate_bps, there.delay_ns, there.loss) == (50_000_000, 5_000_000, 0.01)
    assert (back.rate_bps, back.delay_ns, back.loss, back.queue_bytes) == (2_000_000, 5_000_000, 0.0, 100_000)


def test_paths_of_a_template_may_differ():
    first, second, third = load_topology("two-paths", {"paths": 3, "rate": "10 Mbit/s, none", "delay": "1 ms"}).links
    assert (first.rate_bps, second.rate_bps, third.rate_bps) == (10_000_000, None, 10_000_000)
    assert (first.queue_bytes, second.queue_bytes, second.delay_ns) == (100_000, None, 1_000_000)


@pytest.mark.parametrize(("text", "number"), [("10 ms", 10**7), ("1.5 us", 1500), (0, 0), ("2s", 2 * 10**9)])
def test_times(text, number):
    assert TIME.parse(text) == number


@pytest.mark.parametrize(("text", "number"), [("1 %", 0.01), ("0.1%", 0.001), (0.5, 0.5), ("100 %", 1.0), ("0", 0.0)])
def test_probabilities(text, number):
    assert parse_probability(text) == pytest.approx(number)


@pytest.mark.parametrize(
    ("text", "number"),
    [("50 Mbit/s", 50_000_000), ("1.5Gbit/s", 1_500_000_000), ("9 kbit/s", 9_000)],
)
def test_rates(text, number):
    assert RATE.parse(text) == number


@pytest.mark.parametrize(("text", "number"), [("100 kB", 100_000), ("64 KiB", 65_536), ("2 MB", 2_000_000)])
def test_sizes(text, number):
    assert SIZE.parse(text) == number


def test_rates_for_people():
    assert [format_rate(x) for x in (50e6, 1e9, 12)] == ["50.0 Mbit/s", "1.0 Gbit/s", "12.0 bit/s"]


# --- what is wrong -------------------------------------------------------------------------------------------

WRONG_LINKS = {
    "negative rate": ({"rate": "-5 Mbit/s"}, 'links[0].rate: must be positive, e.g. "50 Mbit/s"'),
    "zero rate": ({"rate": 0}, 'links[0].rate: must be positive, e.g. "50 Mbit/s"'),
    "unit of rate": ({"rate": "5 Mbps"}, 'must look like "50 Mbit/s"; units are bit/s, kbit/s, Mbit/s, Gbit/s'),
    "rate of another kind": ({"rate": [1]}, 'links[0].rate: must look like "50 Mbit/s"'),
    "rate as truth": ({"rate": True}, 'links[0].rate: must look like "50 Mbit/s"'),
    "unit of queue": ({"queue": "3 boxes"}, 'links[0].queue: must look like "100 kB", "60 packets" or "1.5 bdp"'),
    "rate without queue": ({"queue": "none"}, "links[0].queue: a shaped link needs the size of its queue"),
    "queue without rate": ({"rate": "none"}, "links[0].queue: an unshaped link (no rate) has no queue"),
    "shaped super-segments": ({"wire": "super-segments"}, "links[0].wire: a shaped link carries single packets"),
    "wire": ({"wire": "fibre"}, "links[0].wire: must be one of 'mtu' or 'super-segments', not 'fibre'"),
    "unknown field": ({"rat": 1}, "links[0].rat: unknown field 'rat', did you mean rate? allowed: rate, queue, delay,"),
    "unit of delay": ({"delay": "5 m"}, 'links[0].delay: must look like "10 ms"; units are ns, us, ms, s'),
    "negative delay": ({"delay": "-5 ms"}, 'links[0].delay: must not be negative, e.g. "10 ms"'),
    "loss beyond certainty": ({"loss": 5}, 'links[0].loss: must be a probability, e.g. "1 %" or 0.01'),
    "jitter beyond delay": ({"delay": "5 ms", "jitter": "6 ms"}, "links[0].jitter: must not exceed the delay"),
    "reordering without time": ({"reorder": "1 %"}, "links[0].reorder: and reorder_extra belong together"),
    "reverse without queue": (
        {"rate": "none", "queue": "none", "reverse": {"rate": "5 Mbit/s"}},
        "links[0].reverse.queue: a shaped link needs the size of its queue",
    ),
    "unknown field of reverse": (
        {"reverse": {"rat": 1}},
        "links[0].reverse.rat: unknown field 'rat', did you mean rate? allowed: rate, queue, delay, jitter, loss,",
    ),
    "part of a burst loss": ({"burst_loss": {"enter": "1 %"}}, "links[0].burst_loss.leave: is required"),
    "tc with jitter": (
        {"backend": "tc", "delay": "5 ms", "jitter": "1 ms", "reorder": "1 %", "reorder_extra": "1 ms"},
        "links[0].backend: tc cannot do jitter, reorder, reorder_extra: use emulator or auto",
    ),
    "tc with jitter one way": (
        {"backend": "tc", "reverse": {"delay": "5 ms", "jitter": "1 ms"}},
        "links[0].backend: tc cannot do jitter: use emulator or auto",
    ),
    "direct with a rate": (
        {"backend": "direct"},
        "links[0].backend: direct cannot do rate, queue: use tc, emulator or auto",
    ),
    "tc without a rate": (
        {"backend": "tc", "rate": "none", "queue": "none"},
        "links[0].backend: tc has nothing to do without a rate or a delay: use direct or auto",
    ),
    "delayed super-segments": (
        {"rate": "none", "queue": "none", "delay": "5 ms", "wire": "super-segments"},
        "links[0].wire: a shaped link carries single packets",
    ),
    "tolerance": ({"tolerance": 2}, "links[0].tolerance.rate: must be a probability"),
    "long name": ({"name": "a-very-long-name"}, "links[0].name: string should have at most 13 characters"),
    "one end": ({"ends": [CLIENT]}, "links[0].ends[1]: is required"),
    "both ends on one host": (
        {"ends": [CLIENT, SERVER | {"host": "client"}]},
        "links[0].ends: both are on the host 'client'; a link joins two hosts",
    ),
    "unknown host": (
        {"ends": [CLIENT, SERVER | {"host": "sever"}]},
        "links[0].ends[1].host: unknown host 'sever', did you mean server? allowed: client, server",
    ),
    "interface twice": (
        {"ends": [CLIENT, SERVER | {"interface": "client-eth1"}]},
        "links[0].ends[1].interface: 'client-eth1' is used twice",
    ),
    "interface name": (
        {"ends": [CLIENT, SERVER | {"interface": "an-interface-too-long"}]},
        "links[0].ends[1].interface: string should have at most 15 characters",
    ),
    "no prefix length": (
        {"ends": [CLIENT | {"address": "10.0.1.1"}, SERVER]},
        'links[0].ends[0].address: must name its subnet, e.g. "10.0.1.1/24"',
    ),
    "not an address": (
        {"ends": [CLIENT | {"address": "10.0.1.300/24"}, SERVER]},
        "links[0].ends[0].address: input is not a valid IPv4 interface (got '10.0.1.300/24')",
    ),
    "broadcast address": (
        {"ends": [CLIENT | {"address": "10.0.1.255/24"}, SERVER]},
        "10.0.1.255/24 is its subnet's own or broadcast address",
    ),
    "different subnets": (
        {"ends": [CLIENT, SERVER | {"address": "10.0.2.2/24"}]},
        "links[0].ends: are on different subnets: 10.0.1.0/24 and 10.0.2.0/24",
    ),
    "same address": (
        {"ends": [CLIENT, SERVER | {"address": "10.0.1.1/24"}]},
        "links[0].ends[1]: address 10.0.1.1 is also on client (client-eth1)",
    ),
    "stack address elsewhere": (
        {"ends": [CLIENT | {"stack_address": "10.0.9.1/24"}, SERVER]},
        "links[0].ends[0].stack_address: 10.0.9.1/24 is not on the subnet 10.0.1.0/24",
    ),
    "IPv6 at one end": (
        {"ends": [CLIENT | {"address6": "fd00:1::1/64"}, SERVER]},
        "links[0].ends: are on different subnets: 10.0.1.0/24, fd00:1::/64 and 10.0.1.0/24",
    ),
    "IPv6 of the stack alone": (
        {"ends": [CLIENT | {"stack_address6": "fd00:1::1/64"}, SERVER]},
        "links[0].ends[0].stack_address6: needs address6, the host's own on the same subnet",
    ),
    "IPv6 gateway elsewhere": (
        {"ends": [CLIENT | {"address6": "fd00:1::1/64", "gateway6": "fd00:2::254"}, SERVER]},
        "links[0].ends[0].gateway6: fd00:2::254 is not on fd00:1::/64, the subnet of address6",
    ),
    "IPv6 without prefix length": (
        {"ends": [CLIENT | {"address6": "fd00:1::1"}, SERVER]},
        'links[0].ends[0].address6: must name its subnet, e.g. "fd00:1::1/64"',
    ),
    "further address elsewhere": (
        {"ends": [CLIENT | {"more_addresses": ["10.0.9.1/24"]}, SERVER]},
        "links[0].ends[0].more_addresses: 10.0.9.1/24 is not on the subnet 10.0.1.0/24",
    ),
    "further addresses of the stack alone": (
        {"ends": [CLIENT | {"more_stack_addresses": ["10.0.1.9/24"]}, SERVER]},
        "links[0].ends[0].more_stack_addresses: must be as many as more_addresses, or none",
    ),
    "gateway elsewhere": (
        {"ends": [CLIENT | {"gateway": "10.0.9.254"}, SERVER]},
        "links[0].ends[0].gateway: 10.0.9.254 is not on 10.0.1.0/24",
    ),
}


@pytest.mark.parametrize(("changes", "message"), WRONG_LINKS.values(), ids=WRONG_LINKS)
def test_a_wrong_link_is_one_line_with_its_place(changes, message):
    with pytest.raises(LabError) as caught:
        validate(Topology, two_hosts(**changes), "x.yaml.j2")
    assert caught.value.message.startswith("x.yaml.j2: links[0]")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


WRONG_TOPOLOGIES = {
    "overlapping subnets": (
        {"links": [*two_hosts()["links"], second_link("10.0.1.65/26", "10.0.1.66/26")]},
        "links[1].ends: subnet 10.0.1.64/26 overlaps 10.0.1.0/24 of link 'path1'",
    ),
    "link twice": (
        {"links": [*two_hosts()["links"], second_link() | {"name": "path1"}]},
        "links[1].name: 'path1' is used twice",
    ),
    "host twice": ({"hosts": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}, "hosts[2].name: 'a' is used twice"),
    "host name": ({"hosts": [{"name": "A b"}, {"name": "b"}]}, "hosts[0].name: string should match pattern"),
    "field of a host": ({"hosts": [{"name": "a", "cpu": 1}]}, "hosts[0].cpu: unknown field 'cpu'; allowed: name,"),
    "no links": ({"links": []}, "links: tuple should have at least 1 item"),
    "no name": ({"name": None}, "name: input should be a valid string"),
    "field": ({"switches": []}, "switches: unknown field 'switches'; allowed: name, description, hosts, links"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG_TOPOLOGIES.values(), ids=WRONG_TOPOLOGIES)
def test_a_wrong_topology_is_one_line_with_its_place(changes, message):
    with pytest.raises(LabError) as caught:
        validate(Topology, two_hosts() | changes, "x.yaml.j2")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


WRONG_CALLS = {
    "unknown topology": (
        ("two-path", {}),
        f"unknown topology 'two-path', did you mean two-paths? allowed: {', '.join(topology_names())}",
    ),
    "unknown file": (("./none.yaml.j2", {}), "none.yaml.j2: no such topology file"),
    "unknown parameter": (
        ("two-paths", {"rat": 1}),
        "topologies/two-paths.yaml.j2: unknown parameter 'rat', did you mean rate? allowed: paths, rate, queue,"
        " delay, loss, backend, wire, mtu, middleboxes, boxed",
    ),
    "parameter of another kind": (
        ("two-paths", {"paths": "many"}),
        "topologies/two-paths.yaml.j2: parameter paths: must be a whole number, not 'many'",
    ),
    "truth for a number": (("two-paths", {"paths": "true"}), "parameter paths: must be a whole number, not True"),
    "too many": (("two-paths", {"paths": 9}), "parameter paths: must be from 1 to 8, not 9"),
    "choice": (("two-paths", {"wire": "w"}), "parameter wire: must be one of mtu, super-segments, not 'w'"),
    "negative rate": (
        ("two-paths", {"rate": "-5 Mbit/s"}),
        'topologies/two-paths.yaml.j2: links[0].rate: must be positive, e.g. "50 Mbit/s"',
    ),
}


@pytest.mark.parametrize(("call", "message"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_a_wrong_name_or_parameter_is_one_line(call, message):
    with pytest.raises(LabError) as caught:
        load_topology(*call)
    assert caught.value.message.endswith(message)


WRONG_FILES = {
    "no header": ("name: x\n", "must start with a comment {# summary: ... parameters: ... #}"),
    "header field": ("{# summary: x\nparam: {} #}", "header: param: unknown field 'param', did you mean param"),
    "header yaml": ("{# summary: [ #}", "header: line 1: "),
    "undefined": (HEADER + "name: {{ speed }}", "line 4: 'speed' is undefined (parameters: rate)"),
    "operation": (HEADER + "\nname: {{ rate / 2 }}", "line 5: unsupported operand"),
    "import": (HEADER + '{% import "none.j2" as x %}', "no file 'none.j2' beside it or in topologies/"),
    "extends": (HEADER + '{% extends "none.j2" %}', "extends 'none.j2', which is neither beside it nor in topologies/"),
    "wrong use of a macro": (
        HEADER + '{% import "macros.j2" as lab %}\nname: {{ lab.host("client") }}',
        "macros.j2: line",
    ),
    "unknown macro": (HEADER + '{% import "macros.j2" as lab %}\nname: {{ lab.hose() }}', "line 5: "),
    "layout": ("{# {summary: x, layout: round} #}", "header: layout: must be one of 'left-to-right' or 'tiers'"),
    "template syntax": (HEADER + "name: {{ rate", "line 4: unexpected end of template"),
    "yaml": (HEADER + "name: [1", "line "),
    "not a mapping": (HEADER + "just words", "input should be a valid dictionary"),
}


@pytest.mark.parametrize(("text", "message"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "bad.yaml.j2"
    path.write_text(text)
    with pytest.raises(LabError) as caught:
        load_topology(str(path))
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
