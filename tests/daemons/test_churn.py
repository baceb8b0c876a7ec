"""Churn from a whole initiator: commands, what they print, shortages, and the examples."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemons.refusals import refused, refusing
from tests.support import PATIENCE, ROOT, Daemon, Peer, environment, initiator, limited, responder

FreePorts = Callable[[int], int]

# A network of its own with a loopback: what is left in TIME_WAIT takes no port from anybody else there.
ALONE = ("unshare", "--net", "sh", "-c")


@contextmanager
def serving(first: int, count: int, path: Path) -> Iterator[None]:
    """Answer on neighbouring ports with a file."""
    with responder(first, count, "--content", str(path)) as behind:
        behind.send("mode serve")
        behind.line()
        yield


@pytest.fixture
def front(free_ports: FreePorts) -> Iterator[Daemon]:
    """Give an initiator with two targets that answer with a page."""
    first = free_ports(2)
    with serving(first, 2, ROOT / "examples" / "http-answer"), initiator(first, 2) as daemon:
        daemon.ask("wait", "status --json")
        yield daemon


def rows(daemon: Daemon) -> Any:
    return daemon.ask("status --json")["churn"]["rows"]


def test_rates_are_tried_and_told(front: Daemon) -> None:
    output, errors, code = front.end(
        f"churn 100 300 for 500ms cooldown 10ms send @{ROOT}/examples/http-request seed 7", "wait churn", "report"
    )
    assert code == 0
    assert "Churn: 100, 300 a second, for 0.5s, cooldown 10ms, 112 bytes sent, timeout 30s, close fin" in output
    for text in (output, errors):
        assert "Churn                    : 100 a second asked, " in text
        assert "Transactions             : 50 due, 50 completed, failed: 0\n" in text
        assert "Transactions             : 150 due, 150 completed, failed: 0\n" in text
        assert text.count("   whole      corrected min ") == 2


def test_the_rows_are_there_for_other_programs(front: Daemon, tmp_path: Path) -> None:
    front.end("churn 200 for 250ms send hello", "wait churn", f"report {tmp_path}/run.json")
    (row,) = json.loads((tmp_path / "run.json").read_text())["churn"]["rows"]
    size = (ROOT / "examples" / "http-answer").stat().st_size
    assert (row["due"], row["completed"], row["failed"], row["received"]) == (50, 50, {}, 50 * size)
    assert row["whole"]["raw"]["count"] == 50


def test_what_runs_is_stopped_and_known_so_far(front: Daemon) -> None:
    front.send("churn 200 for 1h")
    front.line()
    status = front.until(lambda now: now["churn"]["now"] and now["churn"]["now"]["completed"] > 20)
    assert status["churn"]["running"]
    assert 3500 < status["churn"]["seconds_left"] < 3600
    front.send("stop churn", "wait churn")
    (row,) = rows(front)
    assert row["completed"] > 20
    assert row["completed"] + row["stopped"] + row["unbegun"] == row["due"]


def test_the_time_left_of_a_cooldown_is_known(front: Daemon) -> None:
    front.send("churn 50 50 for 100ms cooldown 1h")
    front.line()
    churn = front.until(lambda now: now["churn"]["rows"] and not now["churn"]["now"])["churn"]
    assert churn["running"]
    assert 3500 < churn["seconds_left"] <= 3600
    front.send("stop churn", "wait churn")
    churn = front.ask("status --json")["churn"]
    assert (len(churn["rows"]), churn["running"], churn["seconds_left"]) == (1, False, 0.0)


def test_where_nothing_is_answered_no_rate_does() -> None:
    with Peer() as peer, initiator(peer.address.port) as front:
        output, errors, code = front.end("saturate from 300 for 200ms timeout 100ms send hello", "wait saturate 60s")
        assert code == 0, output
        assert "Saturate: from 300 by 1.25, slowdown 2, for 0.2s" in output
        assert errors.count("   300.0 a second: 0.0 achieved, median -, failed: ") == 2
        assert "(timeout " in errors
        assert "Saturated                : no rate does, 75.0 does not: " in errors


@pytest.fixture(scope="module")
def lasting() -> Iterator[Daemon]:
    """Give an initiator that all refusals are tried on."""
    with refusing() as front:
        yield front


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("churn", 'after "churn" comes RATE ('),
        ("churn 0", '"0" is not a number above 0'),
        ("churn -5", '"-5" is not a number above 0'),
        ("churn 5 2m", "2000000 a second is too much; at most 1000000 can be asked for"),
        ("saturate from 2m", "2000000 a second is too much"),
        ("churn 5 for 0s", "is no time at all"),
        ("churn 5 timeout 0", "is no time at all"),
        ("churn 5 send @/nowhere/at/all", "file /nowhere/at/all cannot be read"),
        ("churn 5 on 127.0.0.9:9", "is no target"),
        ("churn 5 close maybe", '"maybe" does not belong there'),
        ("saturate by 1", "`by` and `slowdown` are above 1"),
        ("saturate slowdown 0.5", "`by` and `slowdown` are above 1"),
        ("saturate from 0.5 for 1s", "not one would be due"),
        ("saturate from 0", '"0" is not a number above 0'),
        ("stop churn", "nothing runs that could be stopped"),
        ("wait churn", "no churn has begun yet"),
        ("wait saturate", "no saturate has begun yet"),
    ],
)
def test_bad_input_costs_one_line_and_nothing_else(lasting: Daemon, line: str, error: str) -> None:
    assert error in refused(lasting, line)


def test_one_at_a_time(front: Daemon) -> None:
    front.send("churn 10 for 1h")
    front.line()
    for line in ("churn 10", "saturate"):
        front.send(line)
        assert "churn runs already; `stop churn` ends it" in front.line()
    output, _, code = front.end()
    assert (code, "Churn                    : 10 a second asked" in output) == (2, True)


def test_descriptors_that_run_out_are_named_and_no_answers() -> None:
    with Peer() as peer, Daemon("initiator", "--target", str(peer.address), "-u", prefix=limited(128)) as front:
        front.ask("wait", "status --json")
        front.send("churn 1000 for 300ms timeout 500ms", "wait churn")
        front.line()
        (row,) = rows(front)
        assert row["completed"] == row["whole"]["raw"]["count"] == 0
        assert set(row["failed"]) == {"timeout", "out of descriptors"}
        assert sum(row["failed"].values()) == row["due"] == 300
        _, errors, _ = front.end()
        assert "Out of descriptors: those transactions have failed; raise the limit of open files" in errors


@pytest.mark.namespace
@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_ports_that_run_out_are_named_with_the_remedy() -> None:
    prepare = (
        "ip link set lo up; cd /proc/sys/net/ipv4; echo 40000 40019 >ip_local_port_range; echo 0 >tcp_tw_reuse;"
        f' cd {ROOT}; exec "$@"'
    )
    with Daemon("initiator", "--loopback", "--target", "127.0.0.1:3000", prefix=(*ALONE, prepare, "sh")) as front:
        front.ask("wait", "status --json")
        front.send("churn 100 for 500ms send hello timeout 1s", "wait churn")
        front.line()
        (row,) = rows(front)
        assert row["completed"] == 19
        assert row["failed"] == {"out of ports": 31}
        assert row["time_wait"] == 19
        _, errors, _ = front.end()
        assert "out of ports (19 sessions here are in TIME_WAIT): more --target ports or --source-ip" in errors


@pytest.mark.namespace
@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.parametrize("less", ["set 5", "target remove 127.0.0.1:3000"])
def test_ports_are_not_short_any_more_when_fewer_sessions_are_asked_for(less: str) -> None:
    prepare = f'ip link set lo up; echo 40000 40009 >/proc/sys/net/ipv4/ip_local_port_range; cd {ROOT}; exec "$@"'
    with Daemon("initiator", "--loopback", "--target", "127.0.0.1:3000", prefix=(*ALONE, prepare, "sh")) as front:
        front.send("set 15")
        front.until(lambda now: now["exhausted"] == ["ports"] and now["targets_without_ports"] == 1)
        now = front.ask(less, "status --json")
        assert (now["exhausted"], now["targets_without_ports"]) == ([], 0)


@pytest.mark.namespace
@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("churn.sh", ("0.3", "3000", "50", "100"), "Transactions             : 30 due, 30 completed, failed: 0\n"),
        ("saturate.sh", ("0.1", "3000", "2k"), "Saturated                : "),
    ],
)
def test_an_example_runs(name: str, arguments: tuple[str, ...], said: str) -> None:
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [*ALONE, 'ip link set lo up; exec "$@"', "sh", "bash", ROOT / "examples" / name, *arguments],
        env={**environment(), "PATH": f"{scripts}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=True,
    )
    assert said in done.stderr
