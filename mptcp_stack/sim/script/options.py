"""The options of a segment as a script writes them, in both directions."""

import re
from collections.abc import Callable
from typing import Any, Final

from mptcp_stack.mptcp.keys import Key, add_addr_hmac, join_hmac
from mptcp_stack.sim.script.knowledge import REMOTE_NONCE, Flow, Knowledge
from mptcp_stack.storage import MASK_32, MASK_64
from mptcp_stack.wire import (
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcpRst,
    Options,
    RemoveAddr,
    Segment,
    data_checksum,
)

_WRONG_HMAC: Final = b"wrong hmac, not from a key"
_SHA256_FLAG: Final = 0x01
_FLAG_NAMES: Final = {0x80: "A", 0x40: "B", 0x20: "C", 0x01: "H"}


class Notation:
    """Options of segments of one flow."""

    def __init__(self, knowledge: Knowledge, flow: Flow) -> None:
        self.knowledge = knowledge
        self.flow = flow

    # --- out: what the stack sent, in words

    def describe(self, segment: Segment) -> list[str]:
        """Every option of a segment that the stack sent."""
        options, words = segment.options, []
        if options.mss is not None:
            words.append(f"mss {options.mss}")
        if options.sack_permitted:
            words.append("sackOK")
        if options.window_scale is not None:
            words.append(f"wscale {options.window_scale}")
        if options.ts_val is not None:
            base = self.flow.local_ts_base or 0
            words.append(f"TS val {(options.ts_val - base) & MASK_32} ecr {options.ts_ecr}")
        if options.sack:
            isn = self.flow.remote_isn
            blocks = [f"{(start - isn) & MASK_32}:{(end - isn) & MASK_32}" for start, end in options.sack]
            words.append(f"sack {' '.join(blocks)}")
        if options.dss is not None:
            words.append(self._describe_dss(options.dss, segment))
        words += [_DESCRIBE[type(option)](self, option) for option in options.mptcp]
        return words

    def _describe_dss(self, dss: Dss, segment: Segment) -> str:
        knowledge = self.knowledge
        words = ["dss"] + ["fin"] * dss.data_fin
        if dss.data_ack is not None:
            words.append(_number("dack", dss.data_ack, knowledge.remote_key, dss.data_ack_64))
        if dss.dsn is not None:
            assert knowledge.local_key is not None
            words.append(_number("dsn", dss.dsn, knowledge.local_key, dss.dsn_64))
            words += [f"ssn={dss.ssn}", f"dll={dss.length}"]
            if dss.checksum is not None:
                right = data_checksum(dss.dsn, dss.ssn, dss.length, segment.payload) == dss.checksum
                words.append("cs=good" if right else "cs=bad")
        return " ".join(words)

    def key_name(self, key: bytes) -> str:
        """``local``, ``remote`` or ``?``."""
        local = self.knowledge.local_key
        names = {self.knowledge.remote_key.value: "remote", local.value if local else b"": "local"}
        return names.get(key, "?")

    def _describe_capable(self, option: MpCapable) -> str:
        flags = "".join(name for flag, name in _FLAG_NAMES.items() if option.flags & flag)
        keys = [self.key_name(key) for key in (option.sender_key, option.receiver_key) if key is not None]
        words = ["mp_capable", f"v{option.version}", f"flags[{flags}]", f"key[{','.join(keys)}]" if keys else "nokey"]
        if option.data_length is not None:
            words.append(f"len={option.data_length}")
        if option.checksum is not None:
            words.append("cs=...")
        return " ".join(words)

    def _describe_join_syn(self, option: MpJoinSyn) -> str:
        token = "remote" if option.token == self.knowledge.remote_key.token else "?"
        return f"mp_join_syn backup={int(option.backup)} address_id={option.address_id} token={token}"

    def _describe_join_syn_ack(self, option: MpJoinSynAck) -> str:
        hmac = self._good(option.hmac, self._join_hmac("local", option.nonce)[:8])
        return f"mp_join_syn_ack backup={int(option.backup)} address_id={option.address_id} hmac={hmac}"

    def _describe_join_ack(self, option: MpJoinAck) -> str:
        return f"mp_join_ack hmac={self._good(option.hmac, self._join_hmac('local', None)[:20])}"

    def _describe_add_addr(self, option: AddAddr) -> str:
        echo = " echo" if option.echo else ""
        port = f":{option.port}" if option.port else ""
        words = f"add_addr{echo} address_id={option.address_id} {self.knowledge.name(option.address)}{port}"
        if option.hmac is None:
            return words
        expected = self._address_hmac("local", option.address_id, option.address, option.port)
        return f"{words} hmac={self._good(option.hmac, expected)}"

    @staticmethod
    def _good(hmac: bytes, expected: bytes) -> str:
        return "good" if hmac == expected else "bad"

    # --- in: what the script's peer sends

    def read(self, text: str, payload: list[memoryview]) -> Options:
        """The options between ``<`` and ``>``. Raises ValueError with a word on what is wrong."""
        options = Options()
        for part in split_options(text):
            name, *words = part.split()
            if name in ("nop", "eol"):
                continue
            if name not in _READ:
                raise ValueError(f"option {name!r}: not one of {', '.join(['nop', 'eol', *_READ])}")
            arguments = Arguments(name, words)
            option = _READ[name](self, arguments, options)
            arguments.check_all_used()
            if isinstance(option, Dss):
                if option.checksum is not None and option.dsn is not None:
                    right = data_checksum(option.dsn, option.ssn, option.length, payload)
                    option.checksum = right if option.checksum else right ^ 1
                options.dss = option
            elif option is not None:
                options.mptcp += (option,)
        return options

    def _read_ts(self, arguments: "Arguments", options: Options) -> None:
        arguments.word("val")
        options.ts_val = int(arguments.next())
        arguments.word("ecr")
        echo = arguments.next()
        base = self.flow.local_ts_base or 0
        options.ts_ecr = self.flow.last_ts_val if echo == "last" else (int(echo) + base) & MASK_32

    def _read_sack(self, arguments: "Arguments", options: Options) -> None:
        isn = self.flow.local_isn or 0
        blocks = []
        while arguments.words:
            start, _, end = arguments.next().partition(":")
            blocks.append(((int(start) + isn) & MASK_32, (int(end) + isn) & MASK_32))
        options.sack = tuple(blocks)

    def _read_capable(self, arguments: "Arguments", _: Options) -> MpCapable:
        option = MpCapable(int(arguments.next().removeprefix("v")), _SHA256_FLAG)
        while arguments.words:
            word = arguments.next()
            if word.startswith("flags["):
                names = {name: flag for flag, name in _FLAG_NAMES.items()}
                option.flags = sum(names[name] for name in word[6:-1])
            elif word.startswith("key["):
                option.sender_key, option.receiver_key = map(self._key, f"{word[4:-1]},".split(",")[:2])
            elif word.startswith("len="):
                option.data_length = int(word[4:])
            elif word != "nokey":
                raise ValueError(f"mp_capable: {word!r} is not flags[..], key[..], nokey or len=..")
        return option

    def _key(self, name: str) -> bytes | None:
        local = self.knowledge.local_key
        keys = {"remote": self.knowledge.remote_key.value, "local": local.value if local else b"", "wrong": bytes(8)}
        return keys[name] if name else None

    def _read_fastclose(self, arguments: "Arguments", _: Options) -> MpFastclose:
        return MpFastclose(self._key(arguments.next()[4:-1]) or b"")

    def _read_dss(self, arguments: "Arguments", _: Options) -> Dss:
        local, remote = self.knowledge.local_key, self.knowledge.remote_key
        dss = Dss()
        dss.data_fin = arguments.flag("fin")
        for bits, is_64 in ((8, True), (4, False)):
            if (ack := arguments.value(f"dack{bits}")) is not None:
                assert local is not None
                dss.data_ack, dss.data_ack_64 = _absolute(ack, local, is_64), is_64
            if (dsn := arguments.value(f"dsn{bits}")) is not None:
                dss.dsn, dss.dsn_64 = _absolute(dsn, remote, is_64), is_64
        if dss.dsn is not None:
            dss.ssn = int(arguments.value("ssn") or 0)
            dss.length = int(arguments.value("dll") or 0)
            checksum = arguments.value("cs")
            dss.checksum = None if checksum is None else int(checksum == "good")
        return dss

    def _read_join_syn(self, arguments: "Arguments", _: Options) -> MpJoinSyn:
        assert self.knowledge.local_key is not None
        token = self.knowledge.local_key.token if arguments.value("token") == "local" else 0xBAD
        self.flow.joined_from = "remote"
        return MpJoinSyn(arguments.truth("backup"), arguments.number("address_id"), token, REMOTE_NONCE)

    def _read_join_syn_ack(self, arguments: "Arguments", _: Options) -> MpJoinSynAck:
        digest = self._chosen(arguments, self._join_hmac("remote", None))[:8]
        return MpJoinSynAck(arguments.truth("backup"), arguments.number("address_id"), digest, REMOTE_NONCE)

    def _read_join_ack(self, arguments: "Arguments", _: Options) -> MpJoinAck:
        return MpJoinAck(self._chosen(arguments, self._join_hmac("remote", None))[:20])

    def _read_add_addr(self, arguments: "Arguments", _: Options) -> AddAddr:
        echo = arguments.flag("echo")
        address_id = arguments.number("address_id")
        name, *port_text = arguments.next().split(":")
        ip = self.knowledge.ip(name[:-1], int(name[-1]))
        port = int(port_text[0]) if port_text else None
        if echo:
            return AddAddr(address_id, ip, port, echo=True)
        digest = self._chosen(arguments, self._address_hmac("remote", address_id, ip, port))
        return AddAddr(address_id, ip, port, digest[:8])

    def _read_remove_addr(self, arguments: "Arguments", _: Options) -> RemoveAddr:
        numbers = (arguments.value("address_ids") or "[]").strip("[]").split(",")
        return RemoveAddr(tuple(int(number) for number in numbers))

    def _read_prio(self, arguments: "Arguments", _: Options) -> MpPrio:
        address_id = arguments.value("address_id")
        return MpPrio(arguments.truth("backup"), None if address_id is None else int(address_id))

    def _read_fail(self, arguments: "Arguments", _: Options) -> MpFail:
        assert self.knowledge.local_key is not None
        return MpFail(_absolute(arguments.value("dsn8") or "0", self.knowledge.local_key, True))

    # --- keyed hashes

    def _sides(self, own: str) -> tuple[Key, Key]:
        local, remote = self.knowledge.local_key, self.knowledge.remote_key
        assert local is not None
        return (local, remote) if own == "local" else (remote, local)

    def _join_hmac(self, own: str, nonce: bytes | None) -> bytes:
        local_nonce = nonce or self.flow.local_nonce or b""
        nonces = (local_nonce, REMOTE_NONCE) if own == "local" else (REMOTE_NONCE, local_nonce)
        return join_hmac(*self._sides(own), *nonces)

    def _address_hmac(self, own: str, address_id: int, ip: bytes, port: int | None) -> bytes:
        return add_addr_hmac(*self._sides(own), address_id, ip, port)

    @staticmethod
    def _chosen(arguments: "Arguments", good: bytes) -> bytes:
        return _WRONG_HMAC if arguments.value("hmac") == "bad" else good


class Arguments:
    """The words after an option's name."""

    def __init__(self, option: str, words: list[str]) -> None:
        self._option = option
        self.words = words

    def next(self) -> str:
        """The next word."""
        if not self.words:
            raise ValueError(f"{self._option}: something is missing")
        return self.words.pop(0)

    def word(self, expected: str) -> None:
        """The next word, which must be this one."""
        if self.next() != expected:
            raise ValueError(f"{self._option}: {expected!r} is missing")

    def flag(self, name: str) -> bool:
        """Whether a word is there."""
        if name not in self.words:
            return False
        self.words.remove(name)
        return True

    def value(self, name: str) -> str | None:
        """What is behind ``name=``; None without it."""
        for word in self.words:
            if word.startswith(f"{name}="):
                self.words.remove(word)
                return word[len(name) + 1 :]
        return None

    def number(self, name: str) -> int:
        """The number behind ``name=``, 0 without it."""
        return int(self.value(name) or 0)

    def truth(self, name: str) -> bool:
        """Whether ``name=1``."""
        return self.number(name) == 1

    def check_all_used(self) -> None:
        """Raise ValueError for a word that means nothing."""
        if self.words:
            raise ValueError(f"{self._option}: {self.words[0]!r} means nothing here")


def split_options(text: str) -> list[str]:
    """Parts between commas that are not in brackets."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def _number(name: str, value: int, key: Key, is_64: bool) -> str:
    mask = MASK_64 if is_64 else MASK_32
    return f"{name}{8 if is_64 else 4}={(value - key.idsn) & mask}"


def _absolute(text: str, key: Key, is_64: bool) -> int:
    return (int(text) + key.idsn) & (MASK_64 if is_64 else MASK_32)


def _set(field: str) -> Callable[[Notation, Arguments, Options], None]:
    return lambda _, arguments, options: setattr(options, field, int(arguments.next()))


_DESCRIBE: Final[dict[type[Any], Callable[[Notation, Any], str]]] = {
    MpCapable: Notation._describe_capable,
    MpJoinSyn: Notation._describe_join_syn,
    MpJoinSynAck: Notation._describe_join_syn_ack,
    MpJoinAck: Notation._describe_join_ack,
    AddAddr: Notation._describe_add_addr,
    RemoveAddr: lambda _, option: f"remove_addr address_ids=[{','.join(map(str, option.address_ids))}]",
    MpPrio: lambda _, option: (
        f"mp_prio backup={int(option.backup)}"
        + ("" if option.address_id is None else f" address_id={option.address_id}")
    ),
    MpFail: lambda self, option: f"mp_fail {_number('dsn', option.dsn, self.knowledge.remote_key, True)}",
    MpFastclose: lambda self, option: f"mp_fastclose key[{self.key_name(option.receiver_key)}]",
    MpTcpRst: lambda _, option: f"mp_tcprst transient={option.flags & 1} reason={option.reason}",
}
_READ: Final[dict[str, Callable[[Notation, Arguments, Options], Dss | MptcpOption | None]]] = {
    "mss": _set("mss"),
    "wscale": _set("window_scale"),
    "sackOK": lambda _, arguments, options: setattr(options, "sack_permitted", True),
    "TS": Notation._read_ts,
    "sack": Notation._read_sack,
    "mp_capable": Notation._read_capable,
    "mp_join_syn": Notation._read_join_syn,
    "mp_join_syn_ack": Notation._read_join_syn_ack,
    "mp_join_ack": Notation._read_join_ack,
    "dss": Notation._read_dss,
    "add_addr": Notation._read_add_addr,
    "remove_addr": Notation._read_remove_addr,
    "mp_prio": Notation._read_prio,
    "mp_fail": Notation._read_fail,
    "mp_fastclose": Notation._read_fastclose,
    "mp_tcprst": lambda _, arguments, __: MpTcpRst(arguments.number("transient"), arguments.number("reason")),
}
