"""Tests of fleets on a real Ray cluster of three hosts, with a node killed and brought back under load."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import pytest

from tests.daemons.cluster import ADDRESS, BESIDE, HOSTS, NODES, Cluster, missing_for_cluster
from tests.support import PATIENCE, Daemon, round_of

pytestmark = pytest.mark.namespace

FIRST: Final = 7000
TARGETS: Final = 4
ADDRESSES: Final = f"{BESIDE}:{FIRST}-{FIRST + TARGETS - 1}"
SESSIONS: Final = 1500

# Seconds without news of a node within which the others hold its share.
TAKEN_OVER: Final = 10

# Each node takes those that it has.
SOURCES: Final = ("--source-ip", f"{NODES[0]}-{NODES[-1]}")

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Cluster]:
    """Make the cluster."""
    reason = missing_for_cluster()
    if reason:
        pytest.skip(reason)
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(hosts: Cluster) -> Cluster:
    """Give the cluster with all its nodes up, whatever another test has left of it."""
    hosts.mend()
    return hosts


@pytest.fixture(scope="module")
def beside(hosts: Cluster) -> Iterator[Daemon]:
    """Give an ordinary responder on the host beside the nodes."""
    with Daemon("responder", "--listen", ADDRESSES, prefix=hosts.beside.prefix) as responder:
        assert responder.ask("status --json")["listeners"] == TARGETS
        yield responder


@contextmanager
def console(cluster: Cluster, name: str, *options: str) -> Iterator[Daemon]:
    """Give the console of a fleet on the head's host."""
    with Daemon(name, "--fleet", ADDRESS, *options, prefix=cluster.prefix(0)) as daemon:
        yield daemon


def nodes_until(daemon: Daemon, check: Callable[[Rows], bool]) -> Rows:
    """Ask for the nodes until a check of them holds, and return them."""
    end = monotonic() + PATIENCE
    rows: Rows = daemon.ask("nodes --json")
    while not check(rows):
        assert monotonic() < end, f"the nodes stay at {rows}"
        rows = daemon.ask("sleep 50ms", "nodes --json")
    return rows


def held(rows: Rows) -> list[int]:
    return [row["held"] for row in rows]


def states(rows: Rows) -> list[str]:
    return [row["state"] for row in rows]


def refusal(cluster: Cluster, *options: str) -> str:
    """Return the one line that a console is refused with."""
    with console(cluster, "initiator", *options) as daemon:
        _, errors, code = daemon.end()
        assert code
        *_, line = errors.splitlines()
        return line


def test_a_node_that_dies_is_taken_over_and_gets_its_share_back(cluster: Cluster, beside: Daemon) -> None:
    """Each node holds its share from its own address; the others hold that of a dead one until it is there again.

    Meanwhile queries go on at the rate that was asked for, and the console is closed and another one is opened.
    """
    with console(cluster, "initiator", "--target", ADDRESSES, "--name", "lab", *SOURCES) as front:
        front.ask(f"set {SESSIONS}", "wait 30s", "status --json")
        rows = nodes_until(front, lambda rows: held(rows) == [SESSIONS // 3] * 3)
        assert [(row["node"], row["host"]) for row in rows] == list(zip(NODES, HOSTS, strict=True))
        assert [row["asked"] for row in rows] == [SESSIONS // 3] * 3
        assert all(row["load"] > 0 and row["descriptors"][0] >= SESSIONS and not row["losses"] for row in rows)
        beside.send("list --json", "help quit")
        peers = []
        while (line := beside.line()).startswith("{"):
            peers.append(line)
        assert [sum(f'"{node}:' in line for line in peers) for node in NODES] == [SESSIONS // 3] * 3

        front.send("query 300 seed 3")
        assert front.line().startswith("Queries: 300 a second")
        before = front.until(lambda now: now["query"]["answered"] > 300)["query"]

        cluster.kill(2)
        now = front.until(lambda now: now["held"] == SESSIONS and now["workers"]["missing"])
        assert list(now["workers"]["missing"]) == [NODES[2]]
        assert now["losses"] == {"worker": SESSIONS // 3}
        assert beside.until(lambda now: now["held"] == SESSIONS)
        assert front.ask("status --json")["workers"]["missing"][NODES[2]] < TAKEN_OVER
        rows = front.ask("nodes --json")
        assert (states(rows), held(rows)) == (["there", "there", "missing"], [SESSIONS // 2, SESSIONS // 2, 0])
        assert front.until(lambda now: now["query"]["answered_rate"] > 270)["query"]["answered"] > before["answered"]
        output, errors, code = front.end("detach")
        assert "aylet" not in output  # what Ray prints of the node that it misses
        assert code == 0
        assert f"{NODES[2]} is missing" in errors
        assert "Fleet lab goes on" in errors

    assert beside.ask("status --json")["held"] == SESSIONS
    assert "fleet lab is there already: --attach lab" in refusal(cluster, "--target", ADDRESSES, "--name", "lab")
    cluster.start(2)
    beside.until(lambda now: now["held"] == SESSIONS)

    with console(cluster, "initiator", "--attach", "lab") as front:
        rows = nodes_until(front, lambda rows: states(rows) == ["there"] * 3 and held(rows) == [SESSIONS // 3] * 3)
        now = front.ask("status --json")
        assert (now["asked"], now["held"], now["workers"]["missing"]) == (SESSIONS, SESSIONS, {})
        assert now["query"]["running"]
        assert front.until(lambda now: 270 < now["query"]["answered_rate"] < 330)
        front.send("stop query", "wait query 30s")
        ended = front.ask("status --json")["query"]
        assert (ended["running"], ended["answered"]) == (False, ended["sent"] - ended["lost"])
        assert ended["answered"] > before["answered"]
        assert front.ask("set 90", "wait 30s", "status --json")["held"] == 90
        assert sum(held(front.ask("nodes --json"))) == 90
        _, errors, code = front.end("quit")
        assert code == 0
        assert "Traceback" not in errors
        # What happened while nobody was attached is told to the next one, once.
        assert f"{NODES[2]} is missing" not in errors
        assert errors.count(f"{NODES[2]} is back") == 1
    beside.until(lambda now: now["held"] == 0)
    assert "there is no initiator fleet lab" in refusal(cluster, "--attach", "lab")


def test_a_fleet_outlives_its_console(cluster: Cluster, beside: Daemon) -> None:
    """A console that is killed leaves its fleet; so does one that gets a signal."""
    with console(cluster, "initiator", "--target", ADDRESSES, "--name", "two", "--per-node", "2") as front:
        front.ask("set 60", "wait 30s", "status --json")
        rows = front.ask("nodes --json")
        assert [row["node"] for row in rows] == [f"{node} ({number})" for node in NODES for number in (1, 2)]
        front.signal(signal.SIGKILL)
        front.process.wait(PATIENCE)
    assert beside.ask("status --json")["held"] == 60
    with console(cluster, "initiator", "--attach", "two") as front:
        assert front.ask("status --json")["held"] == 60
        front.send("limits 600 --json")
        limits = front.line()
        assert limits.count('"node":') == 6
        front.send("query 10 csv -")
        assert front.line() == "query: rows are written by one process alone; start the initiator without --fleet"
        front.signal(signal.SIGTERM)
        front.process.wait(PATIENCE)
    with console(cluster, "initiator", "--attach", "two") as front:
        assert held(front.ask("nodes --json")) == [10] * 6
        front.end("quit")
    beside.until(lambda now: now["held"] == 0)


def test_probes_are_shared_by_the_nodes_and_go_on_without_one(cluster: Cluster, beside: Daemon) -> None:
    """A bench loses the samples of a dead node and no more; a search says that it has ended with it."""
    with console(cluster, "initiator", "--target", ADDRESSES, "--name", "probes") as front:
        front.send("set 0", "find sessions limit 300 for 100ms")
        assert front.line().startswith("Find: ")
        found = front.ask("wait find 30s", "found find --json")
        assert (found["most"], found["confirmed"], found["bound"]) == (300, 300, "limit")
        front.send("bench 90 rounds 20000")
        front.until(lambda now: any(round_of(probe["trying"]) >= 3 for probe in now["probes"]))
        front.send("find sessions limit 60 for 1h")
        front.until(lambda now: any("holding 60" in probe["trying"] for probe in now["probes"]))
        cluster.kill(2)
        found = front.ask("wait find 30s", "found find --json")
        assert (found["most"], found["losses"], found["bound"]) == (60, {"worker": 20}, "worker")
        front.until(lambda now: now["workers"]["missing"])
        rounds = len(front.ask("found bench --json")["rounds"])
        front.until(lambda _: len(front.ask("found bench --json")["rounds"]) > rounds + 3)
        front.send("stop bench")
        found = front.ask("wait bench 30s", "found bench --json")
        assert found["failures"] == {"worker": 30}
        assert found["rounds"][-1]["answered"] == 90
        front.end("quit")
    beside.until(lambda now: now["held"] == 0)


def test_the_first_line_is_ours(cluster: Cluster) -> None:
    """The hosts have no way to the internet, which Ray warns of by itself."""
    with console(cluster, "initiator", "--target", ADDRESSES, "--name", "first") as front:
        _, errors, code = front.end("quit")
    assert (code, errors.partition(",")[0]) == (0, f"{TARGETS} targets"), errors


def test_every_node_listens_on_its_own(cluster: Cluster) -> None:
    """A responder's fleet accepts on all nodes, and says which of them lacks an address."""
    with console(cluster, "responder", "--listen", "0.0.0.0:7100", f"{NODES[1]}:7101") as behind:
        rows = behind.ask("nodes --json")
        assert [bool(row["note"]) for row in rows] == [True, False, True]
        assert f"cannot listen on {NODES[1]}:7101" in rows[0]["note"]
        assert behind.ask("status --json")["listeners"] == 2
        behind.send(f"listen add {BESIDE}:7102")
        assert behind.line().startswith(f"listen: cannot listen on {BESIDE}:7102")
        behind.send("debug on")
        assert behind.line() == "Debug output enabled"
        targets = [f"{node}:7100" for node in NODES]
        with Daemon("initiator", "--target", *targets, f"{NODES[1]}:7101", prefix=cluster.beside.prefix) as front:
            front.ask("set 400", "wait 30s", "status --json")
            rows = nodes_until(behind, lambda rows: held(rows) == [100, 200, 100])
            assert [row["asked"] for row in rows] == [None] * 3
            cluster.kill(2)
            now = behind.until(lambda now: now["workers"]["missing"])
            assert now["losses"] == {"worker": 100}
            cluster.start(2)
            nodes_until(behind, lambda rows: held(rows) == [100, 200, 100])
            front.until(lambda now: now["held"] == 400)
        _, errors, code = behind.end("quit")
        assert code == 1  # of the listener that was refused
        assert "Traceback" not in errors
        assert f"Accepted {BESIDE}:" in errors
        assert f"{NODES[2]} is missing: its clients are lost" in errors
        assert f"{NODES[2]} is back" in errors


def test_a_node_that_joins_is_one_more_of_the_fleets_that_there_are(cluster: Cluster, beside: Daemon) -> None:
    """It listens, and holds of what is asked for from then on; what was there stays where it is."""
    cluster.kill(2)
    with (
        console(cluster, "initiator", "--target", ADDRESSES, "--name", "grows", "--per-node", "2") as front,
        console(cluster, "responder", "--listen", "0.0.0.0:7100") as behind,
    ):
        assert front.ask("set 80", "wait 30s", "status --json")["held"] == 80
        assert held(front.ask("nodes --json")) == [20] * 4
        assert len(behind.ask("nodes --json")) == 2
        cluster.start(2)
        rows = nodes_until(front, lambda rows: len(rows) == 6)
        assert [row["node"] for row in rows[4:]] == [f"{NODES[2]} (1)", f"{NODES[2]} (2)"]
        now = front.ask("set 180", "wait 30s", "status --json")
        assert (now["held"], now["established"], now["losses"]) == (180, 180, {})
        assert held(front.ask("nodes --json")) == [30] * 6
        nodes_until(behind, lambda rows: [row["node"] for row in rows] == list(NODES))
        with Daemon("initiator", "--target", f"{NODES[2]}:7100", prefix=cluster.beside.prefix) as other:
            assert other.ask("set 10", "wait 30s", "status --json")["held"] == 10
            assert held(nodes_until(behind, lambda rows: sum(held(rows)) == 10)) == [0, 0, 10]
        for daemon in (front, behind):
            _, errors, code = daemon.end("quit")
            assert (code, "Traceback" in errors) == (0, False)
            assert errors.count(f"{NODES[2]} joins the fleet") == 1
    beside.until(lambda now: now["held"] == 0)


def test_what_cannot_be_is_refused(cluster: Cluster) -> None:
    """Each in one line that says what is wrong; and nothing is left of it."""
    assert "there is no Ray cluster at" in refusal(cluster, "--target", ADDRESSES, "--fleet", f"{NODES[0]}:1")
    apart = (*cluster.prefix(0), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with Daemon("initiator", "--fleet", ADDRESS, "--target", ADDRESSES, prefix=apart) as daemon:
        assert f"no node of Ray runs on this host; `ray start --address={ADDRESS}`" in daemon.end()[1]
    wrong = refusal(cluster, "--target", ADDRESSES, "--source-ip", NODES[0], NODES[1])
    assert wrong.endswith(
        f"no engine can be begun on {NODES[2]}: it has none of the source addresses: {NODES[0]}, {NODES[1]}"
    )


def test_without_ray_the_extra_is_named() -> None:
    """The line says what to install."""
    code = "import sys; sys.modules['ray'] = None; from initiator.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--fleet", "127.0.0.1:1", "--target", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'sessioner[fleet]'" in done.stderr
