"""Probes of whole daemons: over the loopback, and with a real netfilter box between them whose limits are found."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.daemons.box import DROP, REJECT, forget_idle, limit_rate, limit_sessions
from tests.daemons.namespaces import RIGHT, Network, missing
from tests.daemons.test_programs import program, running
from tests.support import PATIENCE, ROOT, Daemon, alone, environment, initiator, responder

FreePorts = Callable[[int], int]

FIRST: Final = 5000
TARGETS: Final = 4
ADDRESSES: Final = f"{RIGHT}:{FIRST}-{FIRST + TARGETS - 1}"

MOST: Final = 600
REMEMBERED: Final = 2

# Searches behind one box, each of which must find its limit.
RUNS: Final = 3

# A box forgets up to one tick of its kernel sooner than it was told to, or finds out by then: 10 ms are the longest
# tick (CONFIG_HZ of 100). With one of 4 ms sessions silent for 1.997 s were forgotten at 2 s.
TICK: Final = 0.01

# The bounds are as near to each other as this, where some groups were spoken on too late to tell.
NARROWED: Final = 1.2


@pytest.fixture
def network() -> Iterator[Network]:
    """Give the three namespaces, with a box that translates addresses and lets everything pass."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Network() as network:
        network.masquerade()
        yield network


@contextmanager
def behind(network: Network, workers: str = "1") -> Iterator[Daemon]:
    """Give an initiator that holds nothing, in so many processes, with a responder behind the box."""
    with (
        Daemon("responder", "--listen", ADDRESSES, prefix=network.right.prefix) as server,
        Daemon("initiator", "--target", ADDRESSES, "--workers", workers, prefix=network.left.prefix) as front,
    ):
        assert server.ask("status --json")["listeners"] == TARGETS
        front.send("set 0")
        front.until(lambda now: now["held"] == now["attempts"] == 0)
        yield front


def found(front: Daemon, command: str) -> dict[str, Any]:
    """Begin a search, and return what it has found at its end."""
    front.send(command)
    assert front.line().startswith("Find:")
    figures: dict[str, Any] = front.ask("wait find 60s", "found find --json")
    assert not figures["running"]
    return figures


def found_rate(front: Daemon) -> dict[str, Any]:
    """Return what a search for a rate has found, made again where it says that this host was what ended it."""
    figures = found(front, "find rate for 1s")
    for _ in range(RUNS):
        if figures["host_bound"]:
            figures = found(front, "find rate for 1s")
    return figures


@pytest.mark.namespace
@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize(("verdict", "reason"), [(DROP, "timeout"), (REJECT, "refused")], ids=["drop", "reject"])
def test_a_boxs_room_for_sessions_is_found(network: Network, verdict: str, reason: str, workers: str) -> None:
    limit_sessions(network, MOST, verdict)
    with behind(network, workers) as front:
        for _ in range(RUNS):
            figures = found(front, "find sessions for 200ms")
            assert abs(figures["most"] - MOST) <= MOST * 0.02
            assert figures["confirmed"] == figures["most"]
            assert set(figures["refused"]) == {reason}
            assert (figures["bound"], figures["losses"], figures["evicted"]) == ("path", {}, 0)


@pytest.mark.namespace
def test_the_sessions_that_are_held_anyway_are_told(network: Network) -> None:
    limit_sessions(network, MOST, REJECT)
    with behind(network) as front:
        front.send("set 100")
        front.until(lambda now: now["held"] == 100)
        figures = found(front, "find sessions for 200ms")
        assert figures["beside"] == 100
        assert abs(figures["most"] + 100 - MOST) <= MOST * 0.02
        assert front.ask("status --json")["held"] == 100


@pytest.mark.namespace
@pytest.mark.parametrize(
    ("rate", "burst", "verdict", "reason", "workers"),
    [
        (200, 5, DROP, "timeout", "1"),
        (300, 30, REJECT, "refused", "1"),
        (1000, 30, DROP, "timeout", "1"),
        (300, 300, REJECT, "refused", "1"),
        (50, 1000, DROP, "timeout", "1"),
        (300, 30, DROP, "timeout", "2"),
        (300, 300, REJECT, "refused", "2"),
    ],
    ids=["drop", "reject", "fast", "burst", "slow", "drop-workers", "burst-workers"],
)
def test_a_boxs_limit_of_new_sessions_is_found(
    network: Network, rate: int, burst: int, verdict: str, reason: str, workers: str
) -> None:
    limit_rate(network, rate, burst, verdict)
    with behind(network, workers) as front:
        for _ in range(RUNS):
            figures = found_rate(front)
            assert not figures["host_bound"]
            assert abs(figures["good"] - rate) <= rate * 0.1
            assert abs(figures["taken"] - rate) <= rate * 0.1
            assert figures["good"] < figures["bad"]
            assert {name for trial in figures["trials"] for name in trial["failures"]} == {reason}


@pytest.mark.namespace
@pytest.mark.parametrize(("verdict", "answer"), [(DROP, "timeout"), (REJECT, "rst")], ids=["drop", "reject"])
def test_how_long_a_box_remembers_is_found(network: Network, verdict: str, answer: str) -> None:
    forget_idle(network, REMEMBERED, verdict)
    with behind(network) as front:
        for _ in range(RUNS):
            figures = found(front, "find idle up-to 4s")
            memory = figures["memory"]
            assert memory["remembered"] <= REMEMBERED
            assert memory["forgotten"] >= REMEMBERED - TICK
            assert memory["forgotten"] <= memory["remembered"] * NARROWED
            assert set(memory["answers"]) == {answer}
            kept = {row["idle"]: row["answered"] for row in figures["keepalive"]}
            assert kept[1] == 3


@pytest.fixture
def pair(free_ports: FreePorts) -> Iterator[Daemon]:
    """Give an initiator with sessions to a responder on two ports."""
    first = free_ports(2)
    with responder(first, 2), initiator(first, 2) as front:
        front.ask("set 20", "wait", "status --json")
        yield front


def test_a_bench_is_told_at_its_end_and_written(pair: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "bench.csv"
    output, errors, code = pair.end(
        f"bench 100 rounds 4 csv {path}", "wait bench 20s", "found bench --json", "status --json"
    )
    assert code == 0
    begun, figures, status = output.splitlines()
    assert begun == "Bench: 4 rounds of 100 sessions"
    assert (json.loads(figures)["answered"], json.loads(figures)["failures"]) == (400, {})
    assert json.loads(status)["held"] == 20
    assert "Echoes verified          : 400 of 400" in errors
    assert "Round 4 " in errors
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 400
    assert {(row["round"], row["session"]) for row in rows} == {
        (str(r), str(s)) for r in range(1, 5) for s in range(1, 101)
    }
    assert all(0 < float(row["raw"]) <= float(row["corrected"]) and not row["failure"] for row in rows)


def test_another_bench_begins_when_the_files_of_the_one_before_are_written(pair: Daemon, tmp_path: Path) -> None:
    """Its figures and samples would be taken for those of the one before."""
    path = tmp_path / "rows"
    os.mkfifo(path)
    pair.send(f"bench 2 rounds 1 csv {path}")
    pair.until(lambda status: not status["probes"])
    pair.send("bench 3 rounds 1")
    assert pair.line() == "bench: one runs already; `stop bench` ends it"
    rows = path.read_text().splitlines()
    _, told, code = pair.end("wait bench 50s", "bench 3 rounds 1", "wait bench 50s")
    assert (len(rows), code) == (3, 2)
    assert re.findall(r"Echoes verified +: (.*)", told) == ["2 of 2", "3 of 3"]


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_bench_is_drawn(pair: Daemon, tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = tmp_path / f"bench{ending}"
    _, errors, code = pair.end(f"bench 50 rounds 2 plot {path}", "wait bench 50s")
    assert (code, "Echoes verified          : 100 of 100" in errors) == (0, True)
    assert path.read_bytes().startswith(b"\x89PNG" if ending == ".png" else b"<?xml")


def test_what_still_runs_at_the_end_is_told(pair: Daemon) -> None:
    output, _, code = pair.end("find idle up-to 1h", "bench 20 rounds 50000")
    assert code == 0
    assert "Idle sessions remembered" in output
    assert "Echoes verified" in output


def test_a_search_is_stopped_by_its_name_and_keeps_what_it_knows(pair: Daemon) -> None:
    pair.send("find sessions limit 50 for 1h")
    pair.line()
    pair.until(lambda now: any("holding 50" in probe["trying"] for probe in now["probes"]))
    _, errors, code = pair.end("stop find", "wait find 10s")
    assert code == 0
    assert "Sessions the path takes  : at least 50, each confirmed by an echo" in errors


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("bench 0", "at least one session"),
        ("bench 10 rounds 0", "at least one session"),
        ("bench 10 message ''", "one character"),
        ("bench 2m rounds 2", "more than 2000000 samples"),
        ("bench csv /nowhere/at/all", "cannot be written"),
        ("bench plot run.jpg", "run.jpg ends with none of .png or .svg"),
        ("bench on 127.0.0.9:9", "is no target"),
        ("find", 'after "find" comes sessions or rate or idle'),
        ("find everything", "does not belong there"),
        ("find idle limit 5", '"limit" does not belong to find idle, which takes up-to, on'),
        ("find rate rate 5", '"rate" does not belong to find rate, which takes for, on'),
        ("find rate up-to 5s", '"up-to" does not belong to find rate'),
        ("find sessions limit 0", "at least one session"),
        ("find sessions for 0s", "no time at all"),
        ("find rate on 127.0.0.9:9", "is no target"),
        ("found bench", "no bench has begun yet"),
        ("wait find", "no find has begun yet"),
        ("stop bench", "nothing runs"),
        ("ages on 127.0.0.9:9", "is no target"),
    ],
)
def test_bad_input_costs_one_line_and_nothing_else(line: str, error: str) -> None:
    with alone(1) as front:
        output, errors, code = front.end(line, "status --json")
    assert error in output
    assert json.loads(output.splitlines()[-1])["probes"] == []
    assert (code, "Traceback" in errors) == (2, False)


def test_the_ages_of_lost_sessions_are_shown(free_ports: FreePorts) -> None:
    first = free_ports(1)
    with responder(first) as server, initiator(first) as front:
        assert front.ask("set 20", "wait", "ages --json") == {"reasons": {}, "targets": []}
        server.send("drop 20 rst")
        assert server.line() == "20 sessions dropped by RST"
        front.until(lambda now: now["losses"] == {"rst": 20})
        figures = front.ask("ages --json")
        assert sum(bucket["lost"] for bucket in figures["reasons"]["rst"]) == 20
        assert [(row["reason"], row["lost"]) for row in figures["targets"]] == [("rst", 20)]
        assert front.ask(f"ages on 127.0.0.1:{first} --json") == figures
        output, _, _ = front.end("ages")
        assert "Lost by rst: 20" in output


@pytest.mark.program
@pytest.mark.parametrize("serve", ["PIPE", "EXEC:cat"])
def test_any_echo_server_will_do(free_ports: FreePorts, serve: str) -> None:
    port = free_ports(1)
    command = [program("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,fork,backlog=1024,reuseaddr", serve]
    with running(command, port), initiator(port) as front:
        front.send("bench 30 rounds 3")
        front.line()
        figures = front.ask("wait bench 50s", "found bench --json")
        assert (figures["answered"], figures["failures"]) == (90, {})


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """Give the environment in which the daemons are programs, as an installation makes them, of this tree."""
    for name in ("initiator", "responder"):
        path = tmp_path / f"sessioner_{name}"
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
        path.chmod(0o755)
    return {**environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("example", "arguments", "lines"),
    [
        ("bench", ("50", "2"), ["Echoes verified          : 100 of 100", "round,session,target,corrected,raw,failure"]),
        ("bench", ("50", "2", "{target}"), ["Echoes verified          : 100 of 100"]),
        (
            "firewall-capacity",
            ("{target}", "40", "100ms"),
            ["Sessions the path takes  : at least 40, each confirmed by an echo", "Highest rate             : "],
        ),
        ("nat-idle", ("{target}", "500ms"), ["Idle sessions remembered : at least for 0.5"]),
    ],
)
def test_the_examples_do_what_they_say(
    free_ports: FreePorts,
    tmp_path: Path,
    programs: dict[str, str],
    example: str,
    arguments: tuple[str, ...],
    lines: list[str],
) -> None:
    port = free_ports(1)
    with responder(port):
        result = subprocess.run(
            [ROOT / "examples" / f"{example}.sh", *(text.format(target=f"127.0.0.1:{port}") for text in arguments)],
            cwd=tmp_path,
            env=programs,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    for line in lines:
        assert line in result.stderr + result.stdout
