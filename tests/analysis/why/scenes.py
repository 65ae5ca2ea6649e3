"""Runs of the simulator of which both sides have a capture, and what stands between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mptcp_stack.phy.pcap import PcapWriter
from mptcp_stack.sim import MILLISECOND, SECOND, Middlebox, Source
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, Scene, client_ip, impaired, make_scene

PATHS = (impaired(), impaired(delay_ns=30 * MILLISECOND))
BYTES = bytes(300_000)


class Tapped:
    """A run with a capture at each side: what a host sends is there when it leaves, what it gets when it arrives."""

    def __init__(
        self,
        boxes: Sequence[Middlebox | None] = (None, None),
        *,
        seconds: float = 8,
        server_ahead_s: int = 0,
        **settings: Any,
    ) -> None:
        self._ahead_ns = {"client": 10_000 * SECOND, "server": (10_000 + server_ahead_s) * SECOND}
        self._arrived: list[tuple[int, bytes]] = []
        self._scene: Scene | None = None
        tapped = [self._tap(box, path.delay_ns) for box, path in zip(boxes, PATHS, strict=True)]
        self._scene = self.scene = make_scene(5, PATHS, middlebox=tapped, **settings)
        self.scene.server.listen(Address(b"", PORT), lambda: Source(BYTES))
        self.scene.client.connect(SERVER, Source(b"a request"))
        self.scene.network.run_for(int(seconds * SECOND))

    def _tap(self, box: Middlebox | None, delay_ns: int) -> Middlebox:
        def middlebox(packet: bytes) -> list[bytes]:
            passed = [packet] if box is None else box(packet)
            assert self._scene is not None
            now_ns = self._scene.network.clock.now_ns
            self._arrived += [(now_ns + delay_ns, one) for one in passed]
            return passed

        return middlebox

    def capture(self, side: str, folder: Path) -> Path:
        """The capture of one side, "client" or "server"."""
        own = {client_ip(path) for path in (1, 2)}
        sent = [(record.time_ns, record.packet) for record in self.scene.network.trace if record.host == side]
        came = [(at, packet) for at, packet in self._arrived if (packet[16:20] in own) == (side == "client")]
        path = folder / f"{side}.pcap"
        with PcapWriter(path) as capture:
            for at_ns, packet in sorted(sent + came, key=lambda one: one[0]):
                capture.write(at_ns + self._ahead_ns[side], packet)
        return path
