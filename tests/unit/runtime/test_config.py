import pickle
from copy import copy, deepcopy
from dataclasses import fields, replace
from ipaddress import ip_address

import pytest

from mptcp_stack.phy import memory_pair
from mptcp_stack.runtime import ConfigError, HostAddress, Network, NetworkConfig, parse_settings
from mptcp_stack.runtime.network import packed_address
from mptcp_stack.stack import LocalAddress, StackConfig


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.1.101/24@eth1", HostAddress(ip_address("10.0.1.101"), 24, "eth1")),
        ("10.0.1.101/24", HostAddress(ip_address("10.0.1.101"), 24)),
        (
            "10.0.1.101/24@h1-eth1.5,via=10.0.1.254",
            HostAddress(ip_address("10.0.1.101"), 24, "h1-eth1.5", ip_address("10.0.1.254")),
        ),
        ("2001:db8::5/64@e", HostAddress(ip_address("2001:db8::5"), 64, "e")),
        (
            "10.0.1.5/24@e,via=10.0.1.1,backup,signal,port=8080",
            HostAddress(ip_address("10.0.1.5"), 24, "e", ip_address("10.0.1.1"), frozenset({"backup", "signal"}), 8080),
        ),
        ("10.0.1.5/24,subflow", HostAddress(ip_address("10.0.1.5"), 24, flags=frozenset({"subflow"}))),
        ("fd00::5/64@e,via=fd00::1", HostAddress(ip_address("fd00::5"), 64, "e", ip_address("fd00::1"))),
        ("fd00::5/64@e,via=fe80::1", HostAddress(ip_address("fd00::5"), 64, "e", ip_address("fe80::1"))),
    ],
)
def test_addresses(text, expected):
    address = HostAddress.parse(text)
    assert address == expected
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must look like"),
        ("10.0.1.101", "must look like"),
        ("10.0.1.101@eth1", "must look like"),
        ("10.0.1.101/24@", "must look like"),
        ("10.0.1.101/24@eth1,gw=10.0.1.1", "'gw=10.0.1.1' is none of via=GATEWAY, port=1..65535, signal, subflow,"),
        ("10.0.1.101/24@eth1,port=0", "'port=0' is none of"),
        ("10.0.1.101/24@eth1,backups", "'backups' is none of"),
        ("10.0.1.300/24@eth1", "'10.0.1.300/24' does not appear to be"),
        ("10.0.1.101/33@eth1", "'10.0.1.101/33' does not appear to be"),
        ("10.0.1.101/24@eth1,via=nowhere", "'nowhere' does not appear to be"),
        ("10.0.1.101/24@eth1,via=10.0.2.1", "gateway is not in 10.0.1.0/24"),
        ("10.0.1.101/24,via=10.0.1.1", "via needs a device"),
        ("fd00::5/64@e,via=fd01::1", "gateway is not in fd00::/64"),
        ("fd00::5/64@e,via=10.0.1.1", "gateway is not in fd00::/64"),
        ("fe80::5/64@e", "does not route link-local"),
        ("fd00::5%e/64@e", "must look like"),
        ("::1/128", "not an address of one host"),
        ("ff02::1/64@e", "not an address of one host"),
        ("0.0.0.0/8@e", "not an address of one host"),
        ("0.1.2.3/8@e", "not an address of one host"),
        ("240.0.0.1/24@e", "not an address of one host"),
        ("10.0.1.255/24@e", "not an address of one host"),
        ("10.0.1.3/30@e", "not an address of one host"),
        ("10.0.1.1/24@e,via=10.0.1.1", "gateway must be another host"),
        ("10.0.1.1/24@e,via=10.0.1.255", "gateway must be another host"),
        ("::ffff:10.0.0.1/120@e", "write 10.0.0.1"),
    ],
)
def test_addresses_that_are_wrong(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        NetworkConfig(addresses=[text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "ip"),
    [
        ("", b""),
        ("10.0.0.1", b"\x0a\0\0\1"),
        ("::ffff:10.0.0.1", b"\x0a\0\0\1"),
        ("fd00::1", b"\xfd" + bytes(14) + b"\1"),
    ],
)
def test_addresses_of_applications(host, ip):
    assert packed_address(host, 80) == (ip, 80)


def test_what_the_stack_gets():
    config = NetworkConfig(addresses=["10.0.1.1/24@a", "10.0.2.1/25@b,via=10.0.2.2"], mptcp=False, gso_max_bytes=1448)
    stack = config.stack_config()
    assert stack.addresses == (
        LocalAddress(b"\x0a\0\1\1", 24, False, device="a"),
        LocalAddress(b"\x0a\0\2\1", 25, True, device="b"),
    )
    assert (stack.mptcp, stack.gso_max_bytes) == (False, 1448)
    assert stack.congestion == StackConfig().congestion


@pytest.mark.parametrize(
    ("addresses", "message"),
    [([], "no address given"), (["10.0.1.1/24", "10.0.1.1/24@eth1"], "10.0.1.1 is given twice")],
)
def test_sets_of_addresses_that_are_wrong(addresses, message):
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(addresses=addresses)


def test_a_plug_in_that_does_not_exist_is_a_mistake_of_the_user():
    with pytest.raises(ConfigError, match=r"not one of .*lowest-rtt"):
        Network(StackConfig(scheduler="best"), memory_pair()[0])


def test_settings():
    texts = ["sack=off", "mptcp=Yes", "delayed_ack_ns=2.5ms", "send_buffer_bytes=4MiB", "gso_max_bytes=1400"]
    texts += ["scheduler=mine:Own", "linger_s=0.5", "syn_retries=1", "syn_retries=2", "time_wait_ns=1000"]
    config = NetworkConfig(addresses=["10.0.1.1/24"], **parse_settings(texts))
    assert (config.sack, config.mptcp, config.delayed_ack_ns) == (False, True, 2_500_000)
    assert (config.send_buffer_bytes, config.gso_max_bytes) == (4 << 20, 1400)
    assert (config.scheduler, config.linger_s, config.syn_retries, config.time_wait_ns) == ("mine:Own", 0.5, 2, 1000)
    stack = config.stack_config()
    assert (stack.sack, stack.syn_retries) == (False, 2)


def test_every_setting_of_the_stack_can_be_said_in_words():
    for one in fields(StackConfig):
        if one.name != "addresses":
            value = getattr(StackConfig(), one.name)
            text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
            assert parse_settings([f"{one.name}={text}"]) == {one.name: value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sack", "setting 'sack': must be name=value"),
        ("sak=on", "setting 'sak': no such setting; there are .*, sack, "),
        ("addresses=10.0.0.1/24", "no such setting"),
        ("sack=maybe", "setting sack: must be on or off, not 'maybe'"),
        ("syn_retries=few", "setting syn_retries: must be a whole number, not 'few'"),
        ("syn_retries=-1", "setting syn_retries: must not be less than zero"),
        ("syn_retries=1s", "must be a whole number, not '1s'"),
        ("delayed_ack_ns=40 h", "must be a whole number, alone or with one of ns, us, ms, s, not '40 h'"),
        ("delayed_ack_ns=infs", "not be less than zero or infinite"),
        ("send_buffer_bytes=1B5", "must be a whole number, alone or with one of B, kB, MB, KiB, MiB, not '1B5'"),
        ("linger_s=long", "setting linger_s: must be a number, not 'long'"),
        ("linger_s=nan", "must not be less than zero or infinite, as 'nan' is"),
    ],
)
def test_settings_that_are_wrong(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_settings([text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"delayed_ack_ns": 40e6}, "delayed_ack_ns 40000000.0: not a whole number"),
        ({"pacing": 0}, "pacing 0: not True or False"),
        ({"scheduler": None}, "scheduler None: not a text"),
    ],
)
def test_a_value_of_another_type_is_one_line_with_its_field(setting, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        NetworkConfig(addresses=["10.0.1.1/24"], **setting)
    with pytest.raises(ValueError, match=f"^{message}$"):
        StackConfig(**setting)
    with pytest.raises(ValueError, match=f"^{message}$"):
        replace(StackConfig(), **setting)


def test_settings_can_be_copied_pickled_and_looked_through():
    config = StackConfig(addresses=[LocalAddress(bytes(4), 24, flags=frozenset({"signal"}))], mtu=9000)
    assert config.addresses == (LocalAddress(bytes(4), 24, flags=frozenset({"signal"})),)
    for other in (copy(config), deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
    assert vars(config)["mtu"] == 9000
    assert StackConfig.mtu == 1500
