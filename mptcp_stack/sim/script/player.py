"""Plays a script against a stack, in virtual time."""

from collections import deque
from random import Random
from typing import Final, NamedTuple

from mptcp_stack.sim.script import segments
from mptcp_stack.sim.script.knowledge import Knowledge
from mptcp_stack.sim.script.steps import SECOND_NS, Script, ScriptError, Step
from mptcp_stack.sim.script.system_calls import SystemCalls
from mptcp_stack.stack import LocalAddress, Stack, StackConfig
from mptcp_stack.wire import Packet, Segment, complete, decode, encode, split

_START_NS: Final = 1_000 * SECOND_NS
_QUIET_NS: Final = SECOND_NS // 100
"""After the last step nothing more may leave for so long."""
_FOREVER_NS: Final = 3600 * SECOND_NS


class ScriptFailure(AssertionError):
    """The stack did something else than the script says; the message says where and what."""


class Sent(NamedTuple):
    """A segment that the stack sent, on the script's clock."""

    time_ns: int
    text: str


class Player:
    """One stack, and the peer that the script is."""

    def __init__(self, script: Script, seed: int = 1) -> None:
        self._script = script
        self._knowledge = Knowledge(script.ip_version, script.remote_isn)
        length = 24 if script.ip_version == 4 else 64
        addresses = tuple(LocalAddress(self._knowledge.ip("local", number), length) for number in range(script.local))
        try:
            config = StackConfig(addresses=addresses, **script.settings)
            self.stack = Stack(config, Random(seed))
        except (ValueError, TypeError) as error:
            raise ScriptError(f"{script.name}: --set: {error}") from None
        self._system_calls = SystemCalls(self.stack, self._knowledge)
        self._now = 0
        self._sent: deque[Sent] = deque()
        self._step: Step | None = None

    def play(self) -> None:
        """Raises ScriptFailure where the stack and the script part, ScriptError where the script cannot be read."""
        previous_ns = 0
        for step in self._script.steps:
            self._step = step
            at_ns = step.moment.after(previous_ns)
            try:
                previous_ns = _ACTIONS[step.kind](self, step, at_ns)
            except (ValueError, KeyError, IndexError) as error:
                raise ScriptError(f"{self._script.name}:{step.line}: {error}") from None
        self._advance(self._now + _QUIET_NS)
        if self._sent:
            raise self._failure(f"sent what the script does not expect: {_line(self._sent.popleft())}")

    # --- steps; each returns the script's time after it

    def _inject(self, step: Step, at_ns: int | None) -> int:
        at_ns = self._go_to(at_ns)
        segment = segments.build(segments.read(step.text), self._knowledge)
        self.stack.receive([Packet([complete(encode(segment))])], _START_NS + at_ns)
        self._settle()
        return at_ns

    def _call(self, step: Step, at_ns: int | None) -> int:
        at_ns = self._go_to(at_ns)
        wrong = self._system_calls.check(step.text, _START_NS + at_ns)
        if wrong:
            raise self._failure(wrong)
        self._settle()
        return at_ns

    def _assert(self, step: Step, at_ns: int | None) -> int:
        at_ns = self._go_to(at_ns)
        connection = self._system_calls.connection
        names = {
            "connection": connection,
            "subflows": connection.subflows if connection else [],
            "counters": self.stack.counters,
            "stack": self.stack,
        }
        if not eval(step.text.removeprefix("assert "), names):
            raise self._failure(f"is not true: {step.text}")
        return at_ns

    def _expect(self, step: Step, at_ns: int | None) -> int:
        expected = segments.read(step.text)
        tolerance_ns = self._script.tolerance_ns
        self._wait_for_segment(_FOREVER_NS if at_ns is None else at_ns + tolerance_ns)
        if not self._sent:
            raise self._failure(f"nothing was sent, expected: {step.text}")
        sent = self._sent.popleft()
        if not segments.agrees(expected, segments.read(sent.text)):
            raise self._failure(f"sent:     {_line(sent)}\n    expected: {step.text}")
        if at_ns is None:
            return sent.time_ns
        if abs(sent.time_ns - at_ns) > tolerance_ns:
            raise self._failure(f"sent {(sent.time_ns - at_ns) / SECOND_NS:+.6f} s off its time: {_line(sent)}")
        return at_ns

    # --- time

    def _go_to(self, at_ns: int | None) -> int:
        at_ns = self._now if at_ns is None else at_ns
        if at_ns < self._now - self._script.tolerance_ns:
            raise self._failure(f"is in the past: it is {self._now / SECOND_NS:.6f} already")
        self._advance(at_ns)
        return max(at_ns, self._now)

    def _wait_for_segment(self, limit_ns: int) -> None:
        while not self._sent:
            deadline = self.stack.next_deadline()
            if deadline is None or deadline - _START_NS > limit_ns:
                return
            self._advance(max(deadline - _START_NS, self._now))

    def _advance(self, to_ns: int) -> None:
        """Let the stack's timers fire until the script's clock shows ``to_ns``."""
        while (deadline := self.stack.next_deadline()) is not None and deadline - _START_NS <= to_ns:
            self._now = max(deadline - _START_NS, self._now)
            self.stack.handle_timers(_START_NS + self._now)
            self._settle()
        self._now = max(to_ns, self._now)

    def _settle(self) -> None:
        """Take what the stack says and sends until it comes to rest."""
        for _ in range(3):
            while (event := self.stack.next_event()) is not None:
                self._system_calls.handle(event)
            for packet in self.stack.transmit(_START_NS + self._now):
                for one in split(packet):
                    self._take(decode(Packet([complete(one)])))

    def _take(self, segment: Segment) -> None:
        flow = self._knowledge.flow_of(segment)
        self._sent.append(Sent(self._now, segments.describe(segment, flow, self._knowledge)))

    def _failure(self, what: str) -> ScriptFailure:
        line = self._step.line if self._step else 0
        waiting = "".join(f"\n    then sent: {_line(sent)}" for sent in self._sent)
        return ScriptFailure(f"{self._script.name}:{line}: {what}{waiting}")


def _line(sent: Sent) -> str:
    return f"{sent.time_ns / SECOND_NS:.6f} > {sent.text}"


_ACTIONS: Final = {"in": Player._inject, "out": Player._expect, "call": Player._call, "assert": Player._assert}


def play(script: Script) -> None:
    """Play a script once. Raises what ``Player.play`` raises."""
    Player(script).play()
