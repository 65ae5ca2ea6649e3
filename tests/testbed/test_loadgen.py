"""The load generators over loopback and plain asyncio: what is counted, and above all that failures are."""

import asyncio
import csv
import errno
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network
from itertools import islice, repeat
from random import Random

import pytest

from mptcp_stack.wire import SYN, MpCapable, Packet, decode
from testbed.loadgen import bulk, client, content, flood, server
from testbed.loadgen.options import Endpoint
from testbed.loadgen.summary import describe_ms, percentile

HOST = "127.0.0.1"


# --- content -------------------------------------------------------------------------------------------------


def test_chunks_concatenate_to_the_prefix():
    total = 3 * content.PERIOD_BYTES + 17
    pieces, offset = [], 0
    while offset < total:
        piece = content.chunk(offset, min(300_001, total - offset))
        pieces.append(bytes(piece))
        offset += len(piece)
    assert b"".join(pieces) == content.prefix(total)


def test_matches_accepts_the_content_only():
    data = content.prefix(2_000_000)
    assert content.matches(data, 0)
    assert content.matches(memoryview(data)[777:1_500_000], 777)
    assert not content.matches(data[1:], 0)
    changed = bytearray(data)
    changed[1_999_999] ^= 1
    assert not content.matches(memoryview(changed), 0)


def test_swapped_segments_do_not_match():
    data = content.prefix(4 * 65536)
    swapped = data[65536:131072] + data[:65536] + data[131072:]
    assert not content.matches(swapped, 0)


# --- summary -------------------------------------------------------------------------------------------------


def test_percentiles_are_nearest_rank():
    ordered = list(range(1, 101))
    assert [percentile(ordered, p) for p in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7.0], 50) == 7.0


def test_describe_gives_milliseconds():
    numbers = describe_ms([1_000_000, 3_000_000])
    assert numbers is not None
    assert (numbers["min"], numbers["mean"], numbers["sd"], numbers["p100"]) == (1.0, 2.0, 1.0, 3.0)
    assert describe_ms([]) is None


# --- HTTP ----------------------------------------------------------------------------------------------------


async def load(port: int, **changes: float) -> client.Run:
    settings: dict[str, float] = {"size_bytes": 1000, "requests": 20, "concurrency": 5, "request_timeout_s": 5.0}
    run = client.Run(client.Load(target=Endpoint(HOST, port), **(settings | changes)))  # type: ignore[arg-type]
    await run.execute()
    return run


async def against_our_server(**changes: float) -> tuple[client.Run, Counter[str]]:
    counts: Counter[str] = Counter()
    serving = await server.start_server(Endpoint(HOST, 0), counts, closes=not changes.get("closes"))
    async with serving:
        run = await load(serving.sockets[0].getsockname()[1], **changes)  # type: ignore[attr-defined]
    return run, counts


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def against(handler: Handler, **changes: float) -> client.Run:
    async with await asyncio.start_server(handler, HOST, 0) as serving:
        return await load(serving.sockets[0].getsockname()[1], **changes)


@pytest.mark.parametrize("size", [0, 1, 1000, content.PERIOD_BYTES + 1, server.WHOLE_RESPONSE_BYTES + 12_345])
def test_every_size_arrives_whole(size):
    run, counts = asyncio.run(against_our_server(size_bytes=size))
    result = run.result()
    assert result["failures"] == {}
    assert result["succeeded"] == counts["requests"] == 20
    assert result["received_bytes"] == 20 * (size + len(server.response_head(size, closes=True)))
    assert result["requests_per_s"] == pytest.approx(20 / result["duration_s"], rel=0.01)
    assert result["latency_ms"]["total"]["p100"] >= result["latency_ms"]["connect"]["p100"] > 0


@pytest.mark.parametrize("size", [1000, server.WHOLE_RESPONSE_BYTES + 12_345])
@pytest.mark.parametrize(("closes", "first"), [(False, "sport"), (True, "dport")])
def test_who_closes_first_keeps_time_wait(closes, first, size):
    run, counts = asyncio.run(against_our_server(size_bytes=size, closes=closes))
    assert run.result()["succeeded"] == counts["requests"] == 20
    port = run.load.target.port
    waiting = {
        side: len(subprocess.run(["ss", "-Htn", "state", "time-wait", f"{side} = :{port}"],
                                 capture_output=True, check=True).stdout.splitlines())
        for side in ("sport", "dport")
    }  # fmt: skip
    assert waiting == {"sport": 0, "dport": 0} | {first: 20}


def response(head: bytes, body: bytes, reset: bool = False) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + body)
        if reset:
            await writer.drain()
            writer.transport.abort()
        else:
            writer.close()

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def flipped(size: int) -> bytes:
    body = bytearray(content.prefix(size))
    body[size // 2] ^= 0x20
    return bytes(body)


OK_HEAD = server.response_head(1000, closes=True)
FAULTS = {
    "content": response(OK_HEAD, flipped(1000)),
    "short": response(OK_HEAD, content.prefix(999)),
    "length": response(server.response_head(999, closes=True), content.prefix(999)),
    "malformed": response(b"SMTP ready\r\n\r\n", b""),
    "status": response(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n", content.prefix(1000)),
    "timeout": silent,
}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_fault_is_counted_under_its_name(reason):
    run = asyncio.run(against(FAULTS[reason], request_timeout_s=0.3 if reason == "timeout" else 20))
    result = run.result()
    assert result["failures"] == {reason: 20}
    assert result["succeeded"] == 0
    assert result["requests_per_s"] == 0
    assert result["latency_ms"] == {"connect": None, "total": None}
    assert reason in client.FAILURES


def test_too_long_a_body_fails():
    run = asyncio.run(against(response(OK_HEAD, content.prefix(1001))))
    assert run.result()["succeeded"] == 0


def test_an_empty_response_is_short():
    run = asyncio.run(against(response(b"", b"")))
    assert run.result()["failures"] == {"short": 20}


def test_a_reset_is_counted():
    def linger(handler: Handler) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # SO_LINGER with time 0 makes the kernel send RST.
            writer.get_extra_info("socket").setsockopt(1, 13, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
            await handler(reader, writer)

        return handle

    run = asyncio.run(against(linger(response(OK_HEAD, content.prefix(10), reset=True))))
    assert run.result()["failures"] == {"reset": 20}


def test_refused_connections_are_counted():
    run = asyncio.run(load(1))
    assert run.result()["failures"] == {"refused": 20}


def test_a_lack_of_ports_is_not_called_a_fault_of_the_path(monkeypatch):
    async def without_ports(*_arguments, **_options):
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    async def main():
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", without_ports)
        return await load(1, requests=3)

    assert asyncio.run(main()).failures == {"ports": 3}
    assert "TIME-WAIT" in client.FAILURES["ports"]


def test_faults_among_good_responses_are_counted_exactly():
    served = Counter[str]()

    async def sometimes_wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served["requests"] += 1
        body = flipped(1000) if served["requests"] % 4 == 0 else content.prefix(1000)
        await response(OK_HEAD, body)(reader, writer)

    result = asyncio.run(against(sometimes_wrong)).result()
    assert (result["succeeded"], result["failures"]) == (15, {"content": 5})


def test_the_time_limit_ends_the_run():
    started = time.monotonic()
    run = asyncio.run(against(silent, time_limit_s=0.3))
    assert time.monotonic() - started < 3
    result = run.result()
    assert result["failures"] == {"unfinished": 5}
    assert result["not_started"] == 15


def test_no_request_is_begun_after_its_seconds_and_those_under_way_are_finished():
    run, counts = asyncio.run(against_our_server(requests=100_000, seconds=0.2))
    result = run.result()
    assert result["asked_requests"] == 100_000
    assert 0 < result["requests"] == result["succeeded"] == counts["requests"] < 100_000
    assert result["not_started"] == 0
    assert 0.1 < result["duration_s"] < 3
    assert 0 < result["cores_busy_share"] <= 1


def test_concurrency_is_what_was_asked():
    at_once = Counter[str]()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_once["now"] += 1
        at_once["most"] = max(at_once["most"], at_once["now"])
        await asyncio.sleep(0.02)
        at_once["now"] -= 1
        await response(OK_HEAD, content.prefix(1000))(reader, writer)

    run = asyncio.run(against(slow, concurrency=7, requests=30))
    assert run.result()["succeeded"] == 30
    assert at_once["most"] == 7


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /bytes/x HTTP/1.0\r\n\r\n", b"404"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"\x00\x01\r\n\r\n", b"400"),
        (b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n", b"200"),
    ],
)
def test_server_answers_any_request(request_bytes, status):
    async def ask() -> bytes:
        async with await server.start_server(Endpoint(HOST, 0), Counter()) as serving:
            reader, writer = await asyncio.open_connection(*serving.sockets[0].getsockname())  # type: ignore[attr-defined]
            writer.write(request_bytes)
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return answer

    assert asyncio.run(ask()).split()[1] == status


# --- bulk ----------------------------------------------------------------------------------------------------


async def bulk_transfer(order: bulk.Order, time_limit_s: float = 10.0) -> tuple[dict, list[dict]]:
    transfers: list[dict] = []
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: bulk.ServerPeer(transfers), HOST, 0) as serving:
        result = await bulk.transfer(Endpoint(*serving.sockets[0].getsockname()), order, time_limit_s)
        await asyncio.sleep(0.05)
    return result, transfers


@pytest.mark.parametrize("direction", bulk.DIRECTIONS)
@pytest.mark.parametrize("check", bulk.CHECKS)
def test_bulk_moves_exactly_what_was_asked(direction, check):
    size = 5_000_003
    result, transfers = asyncio.run(bulk_transfer(bulk.Order(direction, size, None, check)))
    assert result["failure"] is None
    assert result["received_bytes"] == size
    assert result["content_ok"] is (None if check == "none" else True)
    moved = transfers[0]
    digest = hashlib.sha256(content.prefix(size)).hexdigest() if check == "sha256" else None
    assert result["received_sha256"] == digest
    assert (moved["sent_sha256"] or result["sent_sha256"]) == digest
    assert max(moved["sent_bytes"], moved["received_bytes"]) == size


@pytest.mark.parametrize("direction", bulk.DIRECTIONS)
def test_bulk_lasts_as_long_as_asked(direction):
    result, _ = asyncio.run(bulk_transfer(bulk.Order(direction, None, 0.3, "content")))
    assert result["failure"] is None
    assert 0.2 < result["duration_s"] < 1.5
    assert result["throughput_bps"] == pytest.approx(result["received_bytes"] * 8 / result["duration_s"], rel=0.01)


@pytest.mark.parametrize(
    ("body", "failure"),
    [(content.prefix(99_999), "short"), (flipped(100_000), "content"), (content.prefix(100_001), "short")],
)
def test_bulk_download_notices_a_wrong_sender(body, failure):
    async def run() -> dict:
        async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(body)
            writer.close()

        async with await asyncio.start_server(wrong, HOST, 0) as serving:
            target = Endpoint(*serving.sockets[0].getsockname())
            return await bulk.transfer(target, bulk.Order("download", 100_000, None, "content"), 5.0)

    assert asyncio.run(run())["failure"] == failure


def test_bulk_gives_up_at_its_time_limit():
    async def run() -> dict:
        async with await asyncio.start_server(silent, HOST, 0) as serving:
            target = Endpoint(*serving.sockets[0].getsockname())
            return await bulk.transfer(target, bulk.Order("download", 100_000, None, "content"), 0.2)

    assert asyncio.run(run())["failure"] == "timeout"


# --- programs ------------------------------------------------------------------------------------------------


def test_programs_from_start_to_sigterm(tmp_path):
    serving = subprocess.Popen(
        [sys.executable, "-m", "testbed.loadgen.server", "--listen", f"{HOST}:18431"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        assert json.loads(serving.stdout.readline())["ready"]["port"] == 18431
        raw = tmp_path / "requests.csv"
        asking = subprocess.run(
            [sys.executable, "-m", "testbed.loadgen.client", "--connect", f"{HOST}:18431", "--size-bytes", "500",
             "-n", "50", "-c", "4", "--raw", str(raw)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        serving.send_signal(signal.SIGTERM)
        served, _ = serving.communicate(timeout=10)
    finally:
        serving.kill()
    assert asking.returncode == 0
    assert serving.returncode == 0
    assert json.loads(asking.stdout)["succeeded"] == json.loads(served)["requests"] == 50
    assert json.loads(asking.stderr.splitlines()[-1])["done"] == 50
    with raw.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    assert all(row["outcome"] == "ok" and int(row["end_ns"]) > int(row["start_ns"]) for row in rows)


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("server", [], "--listen"),
        ("server", ["--listen", "nowhere"], "'nowhere' is not ADDRESS:PORT"),
        ("server", ["--listen", "192.0.2.1:80"], "192.0.2.1"),
        ("client", ["--connect", "127.0.0.1:1", "--size-bytes", "-5", "-n", "1", "-c", "1"], "--size-bytes"),
        ("client", ["--connect", "127.0.0.1:1", "--size-bytes", "5", "-n", "0", "-c", "1"], "above zero"),
        ("client", ["--stack-loop", "x", "--connect", "127.0.0.1:1"], "asyncio"),
        ("bulk", ["client", "--connect", "127.0.0.1:1", "--direction", "up", "--bytes", "1"], "'download', 'upload'"),
        ("bulk", ["client", "--connect", "127.0.0.1:1", "--direction", "upload", "--bytes", "1"], "127.0.0.1"),
    ],
)  # fmt: skip
def test_bad_arguments_give_one_line_and_exit_2(program, arguments, message):
    finished = subprocess.run(
        [sys.executable, "-m", f"testbed.loadgen.{program}", *arguments],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


# --- a SYN flood ---------------------------------------------------------------------------------------------


def with_header_checksum(packet):
    """As the kernel sends it."""
    total = 0xFFFF - int.from_bytes(packet[:20], "big") % 0xFFFF
    return packet[:10] + total.to_bytes(2, "big") + packet[12:]


@pytest.mark.parametrize("mptcp", [False, True])
def test_a_flood_is_of_syns_that_differ_and_are_whole(mptcp):
    target, subnet = Endpoint("10.0.1.2", 8080), IPv4Network("10.3.1.128/26")
    packets = list(islice(flood.Syns(target, subnet, mptcp, Random(1)), 500))
    assert packets == list(islice(flood.Syns(target, subnet, mptcp, Random(1)), 500))
    segments = [decode(Packet([with_header_checksum(packet)])) for packet in packets]
    assert {segment.flags for segment in segments} == {SYN}
    assert {(segment.dst, segment.dport) for segment in segments} == {(bytes((10, 0, 1, 2)), 8080)}
    assert {segment.src for segment in segments} == {host.packed for host in map(IPv4Address, subnet)}
    assert len({(segment.src, segment.sport, segment.seq) for segment in segments}) == 500
    assert all(segment.options.mptcp == ((MpCapable(1, 1),) if mptcp else ()) for segment in segments)


def test_a_flood_keeps_its_rate_and_says_so(capsys):
    sent, flooding = [], flood.Flood(5000, lead=100)

    def send(packet):
        sent.append(packet)
        if len(sent) == 500:
            flooding.stop()

    flooding.run(repeat(b"SYN"), send)
    report = flooding.report()
    assert report["sent"] == len(sent) >= 500
    assert report["rate_per_s"] <= 5000 * 1.02
    assert json.loads(capsys.readouterr().out) == {"ready": {"rate_per_s": 5000}}
