"""Tests of the raw programs that load is measured against, and of the statistics of arrivals."""

import os
import random
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import exp, log
from pathlib import Path
from struct import pack
from time import monotonic, monotonic_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.peers import (
    arrivals,
    chi_square_uniform,
    compile_peers,
    ks_exponential,
    sender,
    sink,
    witness,
)
from tests.support import PATIENCE, Peer, reset, session

RATE = 1000.0

# asm-generic/socket.h; the module has no name for it.
SO_TIMESTAMPNS = 35


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    compile_peers()


def message(size: int) -> bytes:
    """Return a DNS message of so many bytes behind its length."""
    return pack(">H", size) + bytes(size)


def connect(port: int) -> socket.socket:
    """Return a session with a program, on which no byte waits for the one before it."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exchange(sock: socket.socket, data: bytes) -> None:
    """Send bytes, and wait until the same have come back."""
    sock.sendall(data)
    echoed = b""
    while len(echoed) < len(data):
        part = sock.recv(len(data) - len(echoed))
        assert part, "the session ended"
        echoed += part
    assert echoed == data


def receive(sock: socket.socket, block: bytes) -> int:
    """Read a session to its end, and return how many bytes of blocks one behind the other came."""
    size, most = 0, 1 << 16
    blocks = block * (most // len(block) + 2)
    while part := sock.recv(most):
        at = size % len(block)
        assert part == blocks[at : at + len(part)]
        size += len(part)
    return size


@contextmanager
def stamping() -> Iterator[None]:
    """Have the kernel take the times of what comes: it begins a while after it was first asked to."""
    with session() as (ours, theirs):
        theirs.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        end, stamped = monotonic() + PATIENCE, False
        while not stamped:
            assert monotonic() < end, "the kernel takes no times"
            ours.sendall(b"x")
            stamped = bool(theirs.recvmsg(1, 64)[1])
        yield


def test_a_sink_counts_all_that_was_sent() -> None:
    """The total has every byte of every session, also those that nobody had read when the end was asked for."""
    with sink(2, message_size=100) as program:
        assert len(set(program.ports)) == 2
        for port in program.ports:
            with connect(port) as sock:
                sock.sendall(bytes(1_000_050))
        *_, report = program.end()
    assert report["accepted"] == 2
    assert report["reset"] == 0
    assert report["bytes"] == 2_000_100
    assert report["messages"] == 20_001
    assert report["reads"] > 0


def test_a_sink_tells_the_bytes_of_each_second() -> None:
    """Lines are of the monotonic seconds in which bytes came, and of all seconds after the first."""
    with sink(1) as program, connect(program.ports[0]) as sock:
        begin = int(monotonic())
        sock.sendall(bytes(5000))
        lines = [program.line()]
        while sum(line["bytes"] for line in lines) < 5000:
            lines.append(program.line())
        assert begin <= lines[0]["second"] < lines[-1]["second"] + 1 <= int(monotonic())
        assert [line["second"] - lines[0]["second"] for line in lines] == list(range(len(lines)))
        assert all(set(line) == {"second", "bytes", "reads"} for line in lines)
        sock.sendall(bytes(300))
        while sum(line["bytes"] for line in lines) < 5300:
            lines.append(program.line())
        *_, report = program.end()
    assert report["bytes"] == sum(line["bytes"] for line in lines) == 5300
    assert report["reads"] == sum(line["reads"] for line in lines)


def test_a_sink_outlives_a_reset() -> None:
    """A session that its peer resets is counted, and the others go on."""
    with sink(1) as program, connect(program.ports[0]) as sock:
        reset(connect(program.ports[0]))
        sock.sendall(bytes(10))
        *_, report = program.end()
    assert (report["accepted"], report["reset"], report["bytes"]) == (2, 1, 10)


def test_a_sender_says_what_it_sent() -> None:
    """What the sockets took is what the peers have got in the end, on all sessions, and it is whole blocks."""
    # More than a socket takes at once.
    block = b"x" * 4_999_999 + b"\n"
    with socket.create_server(("127.0.0.1", 0)) as reader, sink(2) as behind:
        ports = [reader.getsockname()[1], *behind.ports]
        with sender(ports, sessions=6, size=len(block), seconds=1) as front:
            first, second = reader.accept()[0], reader.accept()[0]
            with first, second:
                read = receive(first, block) + receive(second, block)
            [sent] = front.end()
        *_, got = behind.end()
    assert got["accepted"] == 4
    assert got["bytes"] + read == sent["bytes"]
    assert min(got["bytes"], read) > 0
    assert sent["wall_s"] >= 1
    assert sent["user_s"] + sent["system_s"] > 0
    assert sent["sends"] >= sent["bytes"] / len(block)


def test_a_sender_goes_on_beside_a_session_that_takes_nothing() -> None:
    """A peer that does not read keeps what was sent to it queued, and nobody else waiting."""
    with Peer() as deaf, sink(1) as behind:
        with sender([deaf.address.port, *behind.ports], sessions=2, size=65536, seconds=1) as front:
            [sent] = front.end()
        *_, got = behind.end()
    assert got["bytes"] > sent["bytes"] / 2
    assert 0 < sent["queued"] < sent["bytes"]


def test_a_sender_fails_without_a_peer() -> None:
    """A session that cannot be opened is a failure, never a figure."""
    with Peer(backlog=None) as silent, sender([silent.address.port], 1, 100, 1) as front:
        assert front.process.wait(PATIENCE) == 1
        assert front.process.stdout
        assert front.process.stdout.read() == ""


@pytest.mark.parametrize(
    "sizes",
    [[2], [1, 1], [1, 2, 1], [33], [31, 2], [32, 1], [66], [40, 26], [1] * 66],
    ids=str,
)
def test_a_witness_finds_messages_however_they_come(sizes: Sequence[int], tmp_path: Path) -> None:
    """Split or joined, each message counts once, when its last byte comes; what is left over is unfinished."""
    stream = message(31) * 2
    ends = {33, 66}
    with witness(1, tmp_path / "arrivals") as program, connect(program.ports[0]) as sock:
        at, bounds = 0, []
        for size in sizes:
            before = monotonic_ns()
            exchange(sock, stream[at : at + size])
            bounds += [(before, monotonic_ns())] * len(ends & set(range(at + 1, at + size + 1)))
            at += size
        [report] = program.end()
    found = arrivals(tmp_path / "arrivals")
    assert report["messages"] == len(found) == len(bounds)
    assert report["unfinished"] == (at not in ends)
    assert all(before <= time <= after for (time, _), (before, after) in zip(found, bounds, strict=True))


def test_a_witness_finds_messages_of_every_length(tmp_path: Path) -> None:
    """From none to the most that two bytes can say, one behind the other and more than one read takes."""
    lengths = [0, 1, 255, 256, 65_535, 0, 0, 12]
    with witness(1, tmp_path / "arrivals") as program, connect(program.ports[0]) as sock:
        exchange(sock, b"".join(map(message, lengths)))
        [report] = program.end()
    assert report["messages"] == len(lengths) == len(arrivals(tmp_path / "arrivals"))
    assert report["unfinished"] == 0


def test_a_witness_that_is_late_says_when_a_message_came(tmp_path: Path) -> None:
    """The time is the one that the kernel took, not that of the read; rarely the kernel itself is late."""
    resumed = []
    with stamping(), witness(1, tmp_path / "arrivals") as program, connect(program.ports[0]) as sock:
        for _ in range(20):
            program.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, program.process.pid, os.WSTOPPED)
            sock.sendall(message(29))
            resumed.append(monotonic_ns())
            program.process.send_signal(signal.SIGCONT)
            assert sock.recv(31, socket.MSG_WAITALL) == message(29)
        program.end()
    found = arrivals(tmp_path / "arrivals")
    assert any(time < end for (time, _), end in zip(found, resumed, strict=True))


def test_a_witness_tells_sessions_apart(tmp_path: Path) -> None:
    """Messages are of the session they came on, numbered by acceptance, also of those that ended or were reset."""
    draws = random.Random(3).choices(range(20), k=200)
    with witness(2, tmp_path / "arrivals") as program, ExitStack() as stack:
        socks = []
        for place in range(20):
            socks.append(stack.enter_context(connect(program.ports[place % 2])))
            # Once it is answered, it was accepted before the next.
            exchange(socks[-1], message(20))
        for draw in draws:
            exchange(socks[draw], message(20))
        reset(socks[0])
        with connect(program.ports[0]) as late:
            exchange(late, message(20))
        [report] = program.end()
    found = arrivals(tmp_path / "arrivals")
    assert [place for _, place in found] == [*range(20), *draws, 20]
    assert report["accepted"] == 21
    assert report["reset"] == 1


def test_a_witness_echoes_to_a_session_that_is_slow_to_read(tmp_path: Path) -> None:
    """What a full socket does not take back is kept, and what is sent meanwhile is not read and not lost."""
    block = message(998)
    blocks = block * 1000
    with witness(1, tmp_path / "arrivals") as program, connect(program.ports[0]) as sock:
        sock.setblocking(False)
        sent = 0
        # The witness stops reading when it cannot write: then our own socket fills, too.
        with pytest.raises(BlockingIOError):
            while True:
                sent += sock.send(blocks[sent % 1000 :])
        sock.setblocking(True)
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock, block) == sent
        [report] = program.end()
    assert report["messages"] == sent // 1000
    assert report["unfinished"] == (sent % 1000 > 0)


@pytest.mark.parametrize(
    ("gaps", "distance"),
    [
        ([log(2)], 0.5),
        ([0.0], 1.0),
        ([log(4)], 0.75),
        ([log(4), log(4 / 3)], 0.25),
        ([log(2), log(2)], 0.5),
        ([log(4 / 3)] * 3, 0.75),
    ],
)
def test_the_distance_of_gaps_known_by_hand(gaps: list[float], distance: float) -> None:
    """At the quantile q of the law the steps of the sample are next to q."""
    assert ks_exponential(gaps, 1.0)[0] == pytest.approx(distance)


@pytest.mark.parametrize(("count", "critical"), [(10, 0.4889), (20, 0.3524), (50, 0.2260), (100, 0.1608)])
def test_the_critical_distance_is_that_of_the_tables(count: int, critical: float) -> None:
    """The exact values are those of Kolmogorov's distribution, two-sided."""
    assert ks_exponential([1.0] * count, 1.0)[1] == pytest.approx(critical, rel=0.01)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_a_distance_is_the_largest_between_two_distributions(
    gaps: list[float], rate: float, shuffler: random.Random
) -> None:
    """It is no smaller than the difference at any place, and the order of the gaps does not matter."""
    distance, _ = ks_exponential(gaps, rate)
    differences = []
    for place in gaps:
        share = 1 - exp(-rate * place)
        differences.append(abs(sum(gap <= place for gap in gaps) / len(gaps) - share))
        differences.append(abs(sum(gap < place for gap in gaps) / len(gaps) - share))
    assert distance == pytest.approx(max(differences), abs=1e-9)
    shuffler.shuffle(gaps)
    assert ks_exponential(gaps, rate)[0] == distance


def poisson(draw: random.Random) -> Iterator[float]:
    while True:
        yield draw.expovariate(RATE)


def too_fast(draw: random.Random) -> Iterator[float]:
    while True:
        yield draw.expovariate(RATE * 1.1)


def even(_draw: random.Random) -> Iterator[float]:
    while True:
        yield 1 / RATE


def jittered(draw: random.Random) -> Iterator[float]:
    while True:
        yield draw.uniform(0, 2 / RATE)


def in_pairs(draw: random.Random) -> Iterator[float]:
    while True:
        yield draw.expovariate(RATE / 2)
        yield 0.0


def by_ticks(draw: random.Random) -> Iterator[float]:
    tick = 1 / RATE / 10
    while True:
        yield draw.expovariate(RATE) // tick * tick


@pytest.mark.parametrize(
    ("process", "is_poisson"),
    [(poisson, True), (too_fast, False), (even, False), (jittered, False), (in_pairs, False), (by_ticks, False)],
)
def test_only_poisson_arrivals_are_within_the_critical_distance(
    process: Callable[[random.Random], Iterator[float]], is_poisson: bool
) -> None:
    """Ten thousand gaps tell them apart."""
    draw = process(random.Random(7))
    distance, critical = ks_exponential([next(draw) for _ in range(10_000)], RATE)
    assert (distance < critical) == is_poisson


def test_one_poisson_sample_in_a_hundred_is_beyond_the_critical_distance() -> None:
    """That is what the significance says."""
    draw = poisson(random.Random(11))
    samples = [ks_exponential([next(draw) for _ in range(30)], RATE) for _ in range(3000)]
    assert 15 <= sum(distance > critical for distance, critical in samples) <= 50


@pytest.mark.parametrize(
    ("counts", "statistic"),
    [([5, 5, 5, 5], 0.0), ([10, 0], 10.0), ([8, 12], 0.8), ([5, 8, 9, 8, 10, 20], 13.4), ([0, 0, 0, 40], 120.0)],
)
def test_the_statistic_of_counts_known_by_hand(counts: list[int], statistic: float) -> None:
    """The squared differences from the mean, over the mean."""
    assert chi_square_uniform(counts)[0] == pytest.approx(statistic)


@pytest.mark.parametrize(
    ("classes", "critical", "within"),
    [(2, 6.6349, 0.01), (3, 9.2103, 0.01), (11, 23.2093, 0.002), (31, 50.8922, 0.002), (101, 135.8067, 0.002)],
)
def test_the_critical_statistic_is_that_of_the_tables(classes: int, critical: float, within: float) -> None:
    """The exact values are those of the chi-square distribution with one degree of freedom less than classes."""
    assert chi_square_uniform([10] * classes)[1] == pytest.approx(critical, rel=within)


def test_one_even_choice_in_a_hundred_is_beyond_the_critical_statistic() -> None:
    """That is what the significance says."""
    draw = random.Random(13)
    samples = []
    for _ in range(2000):
        drawn = Counter(draw.choices(range(10), k=100))
        samples.append(chi_square_uniform([drawn[place] for place in range(10)]))
    assert 10 <= sum(statistic > critical for statistic, critical in samples) <= 35


def test_a_favoured_session_is_beyond_the_critical_statistic() -> None:
    """One of two thousand that is drawn ten times as often shows in twenty thousand draws."""
    weights = [10] + [1] * 1999
    drawn = Counter(random.Random(17).choices(range(2000), weights, k=20_000))
    statistic, critical = chi_square_uniform([drawn[place] for place in range(2000)])
    assert statistic > critical
