"""Probes of whole daemons over the loopback: bench and its files, what stops a search, bad input, ages."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemons.refusals import refused, refusing
from tests.daemons.test_programs import program, running
from tests.support import Daemon, initiator, responder

FreePorts = Callable[[int], int]


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


@pytest.fixture(scope="module")
def lasting() -> Iterator[Daemon]:
    """Give an initiator that all refusals are tried on."""
    with refusing() as front:
        yield front


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("bench 0", "at least one session"),
        ("bench 10 rounds 0", "at least one session"),
        ("bench 10 message ''", "one character"),
        ("bench 2m rounds 2", "more than 2000000 samples"),
        ("bench csv /nowhere/at/all", "cannot be written"),
        ("bench plot run.jpg", "bench: run.jpg ends with none of .png or .svg"),
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
def test_bad_input_costs_one_line_and_nothing_else(lasting: Daemon, line: str, error: str) -> None:
    assert error in refused(lasting, line)


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
