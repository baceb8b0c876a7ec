"""Tests of whole daemons whose sessions are held by worker processes."""

import csv
import json
import os
import re
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from common.workers.pool import SILENT
from tests.support import PATIENCE, Daemon, eventually, initiator, limited, responder, round_of

FreePorts = Callable[[int], int]

# What starts a daemon whose console waits an hour for the answer of a worker that it waits for at all.
PATIENT = (
    sys.executable,
    "-c",
    "import runpy, sys; from common.workers import pool; pool._ANSWER = 3600.0; "
    "sys.argv = sys.argv[3:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)",
)

# Private memory, in kB, that a worker which holds nothing may take.
MOST_MEMORY = 8 * 1024


def children(process: int) -> list[int]:
    """Return the processes that a process has begun, oldest first."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def workers_of(daemon: Daemon) -> list[int]:
    """Return the processes of a daemon's workers, oldest first."""
    (zygote,) = children(daemon.process.pid)
    return children(zygote)


def lives(process: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(processes: list[int]) -> None:
    """Return when none of some processes exists."""
    eventually(lambda: [process for process in processes if lives(process)], lambda left: not left)


def descriptors_of(process: int) -> int:
    """Return how many descriptors a process has."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def private_memory(process: int) -> int:
    """Return the kB of a process that it shares with no other."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB$", text, re.MULTILINE))


@contextmanager
def pair(free_ports: FreePorts, here: str = "3", there: str = "2", ports: int = 10) -> Iterator[tuple[Daemon, Daemon]]:
    """Give an initiator and a responder with so many workers each, and neighbouring ports between them."""
    first = free_ports(ports)
    with responder(first, ports, "--workers", there) as behind, initiator(first, ports, "--workers", here) as front:
        yield front, behind


def rows(daemon: Daemon, command: str) -> list[dict[str, Any]]:
    """Return what a listing shows, in JSON."""
    daemon.send(f"{command} --json", "help quit")
    found = []
    while (line := daemon.line()).startswith("{"):
        found.append(json.loads(line))
    return found


@pytest.mark.parametrize(("here", "there"), [("2", "4"), ("3", "1"), ("1", "2")])
def test_every_command_works_on_workers(free_ports: FreePorts, here: str, there: str) -> None:
    with pair(free_ports, here, there) as (front, behind):
        now = front.ask("set 2000", "wait 30s", "status --json")
        assert (now["asked"], now["held"], now["established"], now["targets"]) == (2000, 2000, 2000, 10)
        assert (now["workers"] or {"count": 1})["count"] == int(here)
        behind.until(lambda now: now["held"] == 2000)
        targets = rows(front, "details")
        assert [row["share"] for row in targets] == [row["held"] for row in targets] == [200] * 10
        listeners = rows(behind, "listeners")
        assert [row["held"] for row in listeners] == [200] * 10
        sessions = rows(front, "list")
        assert len({(row["local"], row["remote"]) for row in sessions}) == 2000
        assert len(rows(front, f"list {targets[3]['target']}")) == 200
        assert sessions[0]["remote"] in [row["remote"] for row in rows(front, f"list {sessions[0]['local']}")]
        assert len(rows(front, "list 1500")) == 1500
        assert {(row["peer"], row["local"]) for row in rows(behind, "list")} == {
            (row["local"], row["remote"]) for row in sessions
        }
        assert sessions[0]["remote"] in [row["local"] for row in rows(behind, f"list {sessions[0]['local']}")]

        front.send(f"drop {sessions[0]['local']}")
        assert re.match(r"\d sessions? dropped by FIN", front.line())
        front.send("drop 101 rst")
        assert front.line() == "101 sessions dropped by RST"
        assert front.ask("wait 30s", "status --json")["established"] >= 2102
        behind.until(lambda now: now["held"] == 2000 and now["losses"].get("rst") == 101)
        front.send(f"drop {targets[5]['target']}")
        assert front.line() == "200 sessions dropped by FIN"

        assert front.ask(f"set 7 {targets[0]['target']}", "wait 30s", "status --json")["held"] == 1807
        assert [row["held"] for row in rows(front, "details")] == [7] + [200] * 9
        assert front.ask("set 0", "wait 30s", "status --json")["held"] == 0
        now = behind.until(lambda now: not now["held"])
        assert now["accepted"] == front.ask("status --json")["established"]
        output, errors, code = front.end("quit")
        assert (output, code) == ("", 0)
        assert "Traceback" not in errors
        output, errors, code = behind.end("quit")
        assert (output, code) == ("", 0)
        assert "Traceback" not in errors


def test_queries_over_all_workers_are_counted_together(free_ports: FreePorts) -> None:
    with pair(free_ports, "3", "2", 2) as (front, _):
        front.ask("set 30", "wait 30s", "status --json")
        front.send("query 300 for 2s arrivals constant seed 5", "wait query 30s")
        assert front.line().startswith("Queries: 300 a second, arrivals constant, for 2.0s")
        query = front.ask("status --json")["query"]
        assert (query["due"], query["sent"], query["answered"]) == (600, 600, 600)
        assert (query["sessions"], query["running"], query["rcodes"]) == (0, False, {"echo": 600})
        latencies = front.ask("latency --json")
        assert {row["count"] for row in latencies if row["name"] == "query"} == {600}
        assert {row["count"] for row in latencies if row["name"] == "connect"} == {30}
        front.send("query 100", "query 200", "faster 50")
        assert front.line().startswith("Queries: 100 a second")
        assert front.line() == "Queries: 200 a second from now on"
        assert front.line() == "Queries: 300 a second from now on"
        assert front.ask("status --json")["query"]["asked_rate"] == pytest.approx(300)
        front.send("query 5")
        assert front.line() == "Queries: 5 a second from now on"
        front.send("query 5 seed 3")
        assert "queries are being sent over the sessions already" in front.line()
        front.send("stop query", "wait query 30s", "expect answered > 0", "expect timeouts == 0", "report")
        assert front.line() == "expect answered > 0: met"
        assert front.line() == "expect timeouts == 0: met"
        assert "5 a second" not in front.line()


@pytest.mark.parametrize(
    "line", ["set 5 127.0.0.1:1", "list 127.0.0.1:1", "drop 127.0.0.1:1", "hashsize 9 127.0.0.1:1"]
)
def test_what_one_engine_refuses_all_do(free_ports: FreePorts, line: str) -> None:
    first = free_ports(1)
    with initiator(first, 1, "--workers", "2") as here, initiator(first) as alone:
        here.send(line)
        alone.send(line)
        assert here.line() == alone.line()
        assert here.end()[2] == 2


def test_targets_and_settings_change_while_running(free_ports: FreePorts) -> None:
    with pair(free_ports, "2", "2", 4) as (front, behind):
        first = rows(front, "details")[0]["target"]
        assert front.ask("set 40", "wait 30s", "status --json")["held"] == 40
        front.send(f"target remove {first}")
        assert front.line() == "1 target removed"
        assert front.ask("wait 30s", "status --json")["held"] == 30
        front.send(f"target add {first}")
        assert front.line() == "1 target added, with one session"
        assert front.ask("wait 30s", "status --json")["held"] == 31
        front.send("ping interval 50-60ms", "ping on")
        assert front.line() == "Ping interval 50ms to 60ms"
        assert front.line() == "Ping enabled"
        front.until(lambda now: now["ping"] and now["confirmed"] == 31 and now["pings_answered"] > 60)
        front.send("ping")
        assert front.line() == "Ping disabled"
        front.send("hashsize 100", "hashsize 7 " + str(first))
        assert front.line() == "Hash size of every target 100"
        assert front.line() == f"Hash size of {first} 7"
        front.until(lambda now: now["hashsize"] == 3 * 100 + 8)
        behind.send(f"listen remove {first}")
        assert behind.line() == "1 listener removed, their clients stay"
        assert behind.ask("status --json")["held"] == 31
        behind.send(f"listen add {first}", "mode sink", "marker on", "hashsize 64")
        assert behind.line() == "1 listener added"
        assert behind.line() == "4 listeners in mode sink"
        assert behind.line() == "Marker enabled"
        assert behind.line() == "Clients hash size 64"
        assert {row["mode"] for row in rows(behind, "listeners")} == {"sink"}
        behind.until(lambda now: now["hashsize"] == 64 and now["marker"])


def test_an_initiator_s_worker_that_is_killed_is_replaced(free_ports: FreePorts) -> None:
    with pair(free_ports, "3", "1") as (front, behind):
        front.ask("set 900", "wait 30s", "status --json")
        behind.until(lambda now: now["held"] == 900)
        front.send("query 500 seed 1")
        front.line()
        front.until(lambda now: now["query"]["answered"] > 300)
        victim = workers_of(front)[1]
        os.kill(victim, signal.SIGKILL)
        now = front.until(lambda now: now["workers"]["replaced"] == 1)
        now = front.ask("wait 30s", "status --json")
        assert (now["held"], now["established"], now["losses"]) == (900, 1200, {"worker": 300})
        assert now["query"]["running"]
        behind.until(lambda now: now["held"] == 900 and now["accepted"] == 1200)
        assert sum(behind.ask("status --json")["losses"].values()) == 300
        front.until(lambda now: now["query"]["sessions"] == 900)
        front.send("stop query", "wait query 30s")
        query = front.ask("status --json")["query"]
        assert query["sent"] == query["answered"] + query["lost"]
        assert "Worker 2 has ended unexpectedly, and is replaced" in front.end()[1]


def test_a_responder_s_worker_that_is_killed_costs_its_own_clients_alone(free_ports: FreePorts) -> None:
    with pair(free_ports, "1", "3") as (front, behind):
        front.ask("set 900", "wait 30s", "status --json")
        behind.until(lambda now: now["held"] == 900)
        os.kill(workers_of(behind)[0], signal.SIGKILL)
        now = behind.until(lambda now: now["workers"]["replaced"] == 1 and now["held"] == 900)
        killed = now["losses"]["worker"]
        assert 0 < killed < 900
        now = front.until(lambda now: now["held"] == 900)
        assert (now["established"], sum(now["losses"].values()), now["failures"]) == (900 + killed, killed, {})


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_workers_end_with_their_console(free_ports: FreePorts, name: str, frozen: bool) -> None:
    with pair(free_ports, "2", "2", 2) as (front, behind):
        front.ask("set 100", "wait 30s", "status --json")
        behind.until(lambda now: now["held"] == 100)
        daemon = front if name == "initiator" else behind
        listener = rows(behind, "listeners")[0]["listener"]
        processes = [*children(daemon.process.pid), *workers_of(daemon)]
        assert len(processes) == 3
        if frozen:
            os.kill(processes[-1], signal.SIGSTOP)
        daemon.signal(signal.SIGKILL)
        daemon.process.wait(PATIENCE)
        gone(processes)
        if daemon is behind:
            port = int(str(listener).rpartition(":")[2])
            with socket.create_server(("127.0.0.1", port)):
                pass


@pytest.mark.parametrize("name", ["initiator", "responder"])
@pytest.mark.parametrize("how", ["quit", "SIGTERM", "frozen"])
def test_workers_end_when_the_daemon_does(free_ports: FreePorts, name: str, how: str) -> None:
    first = free_ports(1)
    start = initiator if name == "initiator" else responder
    with start(first, 1, "--workers", "2") as daemon:
        daemon.ask("status --json")
        processes = [*children(daemon.process.pid), *workers_of(daemon)]
        if how == "frozen":
            os.kill(processes[-1], signal.SIGSTOP)
        if how == "SIGTERM":
            daemon.signal(signal.SIGTERM)
        _, errors, code = daemon.end(*(["quit"] if how != "SIGTERM" else []))
        assert (code, "Traceback" in errors) == (0, False)
        gone(processes)


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_an_interrupt_during_the_start_ends_it_quietly(free_ports: FreePorts, name: str) -> None:
    where = {"initiator": "--target", "responder": "--listen"}[name]
    # The warnings that people see: what was half begun is closed by the end of the process.
    usual = ("env", "--unset=PYTHONWARNINGS")
    with Daemon(name, where, f"127.0.0.1:{free_ports(1)}", "--workers", "20", prefix=usual) as daemon:
        (zygote,) = eventually(lambda: children(daemon.process.pid), len)
        # Until it goes on, no worker is there.
        os.kill(zygote, signal.SIGSTOP)
        daemon.signal(signal.SIGINT)
        os.kill(zygote, signal.SIGCONT)
        assert daemon.end() == ("", "", 130)
        gone([zygote])


def test_auto_begins_as_many_initiators_as_the_sessions_need(free_ports: FreePorts) -> None:
    first = free_ports(4)
    arguments = ("initiator", "--target", f"127.0.0.1:{first}-{first + 3}", "--workers", "auto")
    with responder(first, 4), Daemon(*arguments, prefix=limited(300)) as front:
        least = front.ask("set 100", "wait 30s", "status --json")["workers"]["count"]
        assert least == len(os.sched_getaffinity(0))
        before = {row["local"] for row in rows(front, "list")}
        now = front.ask("set 1500", "wait 30s", "status --json")
        assert (now["held"], now["exhausted"], now["losses"]) == (1500, [], {})
        assert now["workers"]["count"] > least
        assert before <= {row["local"] for row in rows(front, "list")}
        assert now["descriptors"] == [300, 300]
        front.send("status")
        status = [front.line() for _ in range(20)]
        count = now["workers"]["count"]
        assert f"Max descriptors limit    : 300/300, {300 * count}/{300 * count} in {count} workers" in status


def test_a_responder_that_fills_up_is_relieved_before_it_is_full(free_ports: FreePorts) -> None:
    first = free_ports(2)
    arguments = ("responder", "--listen", f"127.0.0.1:{first}-{first + 1}", "--workers", "auto")
    with Daemon(*arguments, prefix=limited(400)) as behind, initiator(first, 2, "--connect-rate", "500") as front:
        assert front.ask("set 1500", "wait 30s", "status --json")["held"] == 1500
        now = behind.until(lambda now: now["held"] == 1500)
        assert (now["exhausted"], now["accepted"], now["losses"]) == ([], 1500, {})
        assert now["workers"]["count"] >= 5
        assert sum(row["held"] for row in rows(behind, "listeners")) == 1500
        assert front.ask("set 0", "wait 30s", "status --json")["losses"] == {}
        behind.until(lambda now: not now["held"])
        assert front.ask("set 1200", "wait 30s", "status --json")["held"] == 1200
        now = behind.until(lambda now: now["held"] == 1200)
        assert now["exhausted"] == []


def test_workers_of_a_responder_take_turns_until_all_are_full(free_ports: FreePorts) -> None:
    first, limit, count = free_ports(2), 300, 2 * len(os.sched_getaffinity(0)) + 1
    arguments = ("responder", "--listen", f"127.0.0.1:{first}-{first + 1}", "--workers", str(count))
    with Daemon(*arguments, prefix=limited(limit)) as behind, initiator(first, 2, "--connect-rate", "500") as front:
        behind.ask("status --json")
        own = [descriptors_of(worker) for worker in workers_of(behind)]
        half = count * limit // 3
        assert front.ask(f"set {half}", "wait 30s", "status --json")["held"] == half
        behind.until(lambda now: now["held"] == half)
        held = [descriptors_of(worker) - before for worker, before in zip(workers_of(behind), own, strict=True)]
        assert min(held) > 0
        assert max(held) < limit / 2
        # A quarter of so low a limit is kept free, at most 64; and shares differ by some hundredths at the end.
        room = limit - 64 - max(own) - 12
        front.ask(f"set {count * room}", "wait 30s", "status --json")
        now = behind.until(lambda now: now["held"] == count * room)
        assert (now["workers"]["count"], now["accepted"], now["losses"]) == (count, count * room, {})
        assert len(rows(behind, "list")) == count * room
        assert {row["mode"] for row in rows(behind, "listeners")} == {"echo"}
        behind.send(f"listen remove 127.0.0.1:{first}", "mode sink", "drop 100")
        assert behind.line() == "1 listener removed, their clients stay"
        assert behind.line() == "1 listener in mode sink"
        assert behind.line() == "100 sessions dropped by FIN"
        front.until(lambda now: now["losses"].get("fin") == 100)


def test_clients_of_a_worker_that_hangs_are_accepted_by_another_one(free_ports: FreePorts) -> None:
    count = len(os.sched_getaffinity(0)) + 1
    with pair(free_ports, "1", str(count), 2) as (front, behind):
        front.ask("set 10", "wait 30s", "status --json")
        behind.until(lambda now: now["held"] == 10)
        hanging = workers_of(behind)[0]
        os.kill(hanging, signal.SIGSTOP)
        behind.until(lambda now: now["workers"]["silent"])
        front.ask("set 210", "wait 30s", "status --json")
        behind.until(lambda now: now["held"] == 210)
        os.kill(hanging, signal.SIGCONT)
        now = behind.until(lambda now: not now["workers"]["silent"])
        assert (now["held"], now["accepted"], now["losses"]) == (210, 210, {})


@pytest.mark.parametrize("prefix", [(), ("nice", "-n", "3"), ("setpriv", "--bounding-set=-sys_nice")])
@pytest.mark.parametrize("more", [0, 1])
def test_the_console_comes_before_its_workers_where_that_is_allowed(more: int, prefix: tuple[str, ...]) -> None:
    count = len(os.sched_getaffinity(0)) + more
    niceness = 3 if "nice" in prefix else 0
    before = 0 if "setpriv" in prefix else 10
    # With --loopback there are two pools of workers, and one console.
    with Daemon("initiator", "--loopback", "--workers", str(count), prefix=prefix) as daemon:
        daemon.ask("wait 30s", "status --json")
        console = daemon.process.pid
        assert os.getpriority(os.PRIO_PROCESS, console) == niceness - before
        zygotes = children(console)
        workers = [worker for zygote in zygotes for worker in children(zygote)]
        assert (len(zygotes), len(workers)) == (2, 2 * count)
        assert {os.getpriority(os.PRIO_PROCESS, process) for process in (*zygotes, *workers)} == {niceness}
        policy = os.SCHED_BATCH if more else os.SCHED_OTHER
        assert {os.sched_getscheduler(worker) for worker in workers} == {policy}
        assert os.sched_getscheduler(console) == os.SCHED_OTHER


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_a_worker_that_holds_nothing_costs_little(free_ports: FreePorts, name: str) -> None:
    first = free_ports(10)
    start = initiator if name == "initiator" else responder
    with start(first, 10, "--workers", "4") as daemon:
        daemon.ask("sleep 2s", "status --json")
        assert [size for size in map(private_memory, workers_of(daemon)) if size > MOST_MEMORY] == []


def test_a_frozen_worker_does_not_freeze_the_prompt(free_ports: FreePorts) -> None:
    first = free_ports(2)
    arguments = ("initiator", "--target", f"127.0.0.1:{first}-{first + 1}", "--workers", "3")
    with responder(first, 2), Daemon(*arguments, prefix=PATIENT) as front:
        front.ask("set 300", "wait 30s", "status --json")
        frozen = workers_of(front)[2]
        os.kill(frozen, signal.SIGSTOP)
        front.until(lambda now: list(now["workers"]["silent"]) == ["3"] and now["age"] >= SILENT)
        ages = [front.ask("status --json")["age"] for _ in range(20)]
        assert ages == sorted(set(ages))
        assert len(rows(front, "list")) == 200
        now = front.ask("set 600", "status --json")
        assert now["asked"] == 600
        now = front.until(lambda now: now["held"] == 500)
        assert list(now["workers"]["silent"]) == ["3"]
        assert now["age"] > ages[-1]
        os.kill(frozen, signal.SIGCONT)
        assert front.ask("wait 30s", "status --json")["held"] == 600
        front.until(lambda now: now["age"] < SILENT and not now["workers"]["silent"])
        assert "Worker 3 does not answer" in front.end()[1]


def test_a_port_that_another_daemon_listens_on_is_refused(free_ports: FreePorts) -> None:
    first = free_ports(1)
    arguments = ("--listen", f"127.0.0.1:{first}", "--workers", "2")
    with responder(first, 1, "--workers", "2"), Daemon("responder", *arguments) as second:
        _, errors, code = second.end()
        assert code == 1
        assert errors == f"sessioner_responder: cannot listen on 127.0.0.1:{first}: Address already in use\n"


def test_a_loopback_responder_has_workers_too() -> None:
    with Daemon("initiator", "--loopback", "--workers", "2") as daemon:
        assert daemon.ask("set 200", "wait 30s", "status --json")["held"] == 200
        assert daemon.end()[2] == 0


def test_messages_over_all_workers_are_verified_and_stopped_everywhere(free_ports: FreePorts) -> None:
    with pair(free_ports, "3", "2", 2) as (front, _):
        front.ask("set 30", "wait 30s", "status --json")
        front.send("echo check", "sleep 2s", "stop send", "wait send 30s")
        assert front.line().startswith("Messages: echo check")
        send = front.ask("status --json")["send"]
        assert send["answered"] == send["sent"] > 30
        assert set(send["wrong"].values()) == {0}
        front.send("send hello rate 5 stop-on lo", "wait send 30s")
        assert front.line().startswith("Messages: ")
        send = front.ask("status --json")["send"]
        assert "heard b'hello" in send["stopped_on"]
        assert not send["running"]


def test_the_highest_rate_is_searched_over_all_workers(free_ports: FreePorts) -> None:
    with pair(free_ports, "2", "1", 2) as (front, _):
        front.ask("set 20", "wait 30s", "status --json")
        _, errors, _ = front.end("query @1us seed 1", "wait query 60s")
        assert "Highest rate             : none with p95 within 0.001 ms" in errors
        assert "100.0 a second is too much" in errors


def test_workers_are_replaced_also_when_what_they_are_forked_from_is_gone(free_ports: FreePorts) -> None:
    with pair(free_ports, "2", "1", 2) as (front, _):
        front.ask("set 100", "wait 30s", "status --json")
        workers = workers_of(front)
        (zygote,) = children(front.process.pid)
        os.kill(zygote, signal.SIGKILL)
        assert front.ask("set 110", "wait 30s", "status --json")["workers"]["replaced"] == 0
        os.kill(workers[0], signal.SIGKILL)
        front.until(lambda now: now["workers"]["replaced"] == 1)
        now = front.ask("wait 30s", "status --json")
        assert (now["held"], now["losses"]) == (110, {"worker": 55})
        assert len(workers_of(front)) == 1
        _, errors, code = front.end("quit")
        assert (code, "Traceback" in errors) == (0, False)
        gone(workers)


def test_a_rate_is_that_of_all_workers_together(free_ports: FreePorts) -> None:
    with pair(free_ports, "3", "1", 3) as (front, _):
        front.ask("wait 30s", "rate 30", "status --json")
        begun = monotonic()
        now = front.ask("set 63", "wait 30s", "status --json")
        # 60 sessions at 30 a second; each worker begins with one at once.
        assert monotonic() - begun > 1.5
        assert now["held"] == 63


def test_debug_output_and_losses_of_workers_are_shown_by_the_console(free_ports: FreePorts, tmp_path: Path) -> None:
    first = free_ports(2)
    log = tmp_path / "log"
    with responder(first, 2) as behind, initiator(first, 2, "--workers", "2", "--log", str(log)) as front:
        front.ask("set 20", "wait 30s", "status --json")
        behind.send("drop 5 rst")
        assert behind.line() == "5 sessions dropped by RST"
        front.until(lambda now: now["losses"] == {"rst": 5})
        front.send("debug on", "ping interval 50-60ms", "ping on", "sleep 2s")
        _, errors, _ = front.end()
        assert "Received 5 bytes on " in errors or "bytes on 127.0.0.1:" in errors
        assert len(re.findall("INFO Lost 127.0.0.1:[0-9]+->127.0.0.1:[0-9]+: rst", log.read_text())) == 5


def test_a_capacity_beyond_one_process_is_found(free_ports: FreePorts) -> None:
    first = free_ports(4)
    arguments = ("initiator", "--target", f"127.0.0.1:{first}-{first + 3}", "--workers", "2")
    with responder(first, 4), Daemon(*arguments, prefix=limited(500)) as front:
        front.send("set 0", "find sessions limit 700 for 100ms")
        assert front.line() == "Find: sessions, limit 700, for 0.1s"
        found = front.ask("wait find 60s", "found find --json")
        assert (found["most"], found["confirmed"], found["bound"]) == (700, 700, "limit")
        front.send("find sessions for 100ms")
        found = front.ask("wait find 60s", "found find --json")
        assert (found["bound"], found["refused"], found["losses"]) == ("descriptors", {}, {})
        assert 2 * 400 < found["most"] < 2 * 500
        now = front.ask("status --json")
        assert (now["held"], now["probes"], now["workers"]["count"]) == (0, [], 2)


def test_auto_begins_as_many_workers_as_a_search_up_to_a_limit_needs(free_ports: FreePorts) -> None:
    first = free_ports(4)
    arguments = ("initiator", "--target", f"127.0.0.1:{first}-{first + 3}", "--workers", "auto")
    with responder(first, 4), Daemon(*arguments, prefix=limited(300)) as front:
        front.send("find sessions limit 1000 for 100ms")
        found = front.ask("wait find 60s", "found find --json")
        assert (found["most"], found["bound"], found["losses"]) == (1000, "limit", {})
        front.send("bench 1300 rounds 2")
        found = front.ask("wait bench 60s", "found bench --json")
        assert (found["answered"], found["failures"]) == (2600, {})


def test_a_bench_over_workers_verifies_every_echo_and_writes_every_row(free_ports: FreePorts, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with pair(free_ports, "2", "2", 3) as (front, _):
        front.ask("set 10", "wait 30s", "status --json")
        front.send(f"bench 301 rounds 4 csv {path}")
        found = front.ask("wait bench 60s", "found bench --json")
        assert (found["answered"], found["failures"], found["running"]) == (4 * 301, {}, False)
        assert front.ask("status --json")["held"] == 10
        _, errors, code = front.end()
        assert (code, "Echoes verified          : 1204 of 1204" in errors) == (0, True)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["round"], row["session"]) for row in rows] == [
        (str(r), str(s)) for r in range(1, 5) for s in range(1, 302)
    ]
    assert all(0 < float(row["raw"]) <= float(row["corrected"]) and not row["failure"] for row in rows)


def test_a_worker_that_is_killed_costs_a_bench_its_samples(free_ports: FreePorts, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with pair(free_ports, "2", "1", 2) as (front, _):
        front.send(f"bench 200 rounds 2000 csv {path}")
        front.until(lambda now: any(round_of(probe["trying"]) >= 2 for probe in now["probes"]))
        os.kill(workers_of(front)[1], signal.SIGKILL)
        front.until(lambda now: now["workers"]["replaced"] == 1)
        before = front.ask("found bench --json")
        front.until(lambda _: len(front.ask("found bench --json")["rounds"]) > len(before["rounds"]) + 3)
        front.send("stop bench")
        found = front.ask("wait bench 60s", "found bench --json")
        assert found["failures"] == {"worker": 100}
        assert found["rounds"][-1]["answered"] == 200
        assert found["answered"] == len(found["rounds"]) * 200 - 100
        _, errors, code = front.end()
        assert (code, "Traceback" in errors) == (0, False)
        assert "Failed                   : 100 (worker 100)" in errors
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len({(row["round"], row["session"]) for row in rows}) == len(rows) == len(found["rounds"]) * 200
    assert sum(row["failure"] == "worker" for row in rows) == 100


def test_a_search_ends_with_a_worker_that_is_killed(free_ports: FreePorts) -> None:
    with pair(free_ports, "2", "1", 2) as (front, _):
        front.send("set 0", "find sessions limit 100 for 1h")
        front.until(lambda now: any("holding 100" in probe["trying"] for probe in now["probes"]))
        os.kill(workers_of(front)[0], signal.SIGKILL)
        found = front.ask("wait find 60s", "found find --json")
        assert (found["most"], found["confirmed"], found["losses"]) == (100, 50, {"worker": 50})
        output, errors, code = front.end()
        assert (code, "Traceback" in errors) == (1, False)
        assert "Sessions the path takes  : at least 100, each confirmed by an echo" in errors
        assert "The search ended by      : the end of a worker" in errors
        assert "a worker has ended or does not answer, and the search with it" in output + errors


def test_listeners_that_full_workers_have_no_room_for_are_refused(free_ports: FreePorts) -> None:
    first = free_ports(102)
    arguments = ("responder", "--listen", f"127.0.0.1:{first}-{first + 1}", "--workers", "2")
    with ExitStack() as stack:
        behind = stack.enter_context(Daemon(*arguments, prefix=limited(300)))
        behind.ask("status --json")
        for number in range(600):
            stack.enter_context(socket.create_connection(("127.0.0.1", first + number % 2)))
        behind.until(lambda now: now["paused"] and now["held"] > 380)
        behind.send(f"listen add 127.0.0.1:{first + 2}-{first + 101}")
        assert "no descriptors left for 100 listeners: raise ulimit -n" in behind.line()
        now = behind.ask("status --json")
        assert (now["listeners"], now["workers"]["silent"]) == (2, {})
        for port in (first + 2, first + 101):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        behind.send(f"listen remove 127.0.0.1:{first}")
        assert behind.line() == "1 listener removed, their clients stay"


@pytest.mark.parametrize("workers", ["auto", "4"])
def test_many_listeners_leave_room_that_is_used_up_by_fewer_clients(free_ports: FreePorts, workers: str) -> None:
    first, ports = free_ports(90), 90
    arguments = ("responder", "--listen", f"127.0.0.1:{first}-{first + ports - 1}", "--workers", workers)
    # One of four has descriptors for 300 - 64 - 90 - 40 clients.
    clients = 4 * 106 - 24
    with ExitStack() as stack:
        behind = stack.enter_context(Daemon(*arguments, prefix=limited(300)))
        behind.ask("status --json")
        for number in range(clients):
            stack.enter_context(socket.create_connection(("127.0.0.1", first + number % ports)))
        now = behind.until(lambda now: now["held"] == clients)
        assert (now["accepted"], now["losses"]) == (clients, {})
        behind.until(lambda now: not now["exhausted"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_what_listeners_have_counted_is_not_forgotten(free_ports: FreePorts, number: signal.Signals) -> None:
    with pair(free_ports, "1", "2", 3) as (front, behind):
        front.ask("set 60", "wait 30s", "status --json")
        behind.until(lambda now: now["held"] == 60)
        behind.send("mode sink")
        assert behind.line() == "3 listeners in mode sink"
        os.kill(workers_of(behind)[0], number)
        if number == signal.SIGKILL:
            lost = behind.until(lambda now: now["workers"]["replaced"] == 1)["losses"]["worker"]
            behind.until(lambda now: now["accepted"] == 60 + lost and now["held"] == 60)
        else:
            behind.until(lambda now: now["workers"]["silent"])
        now = behind.ask("status --json")
        listeners = rows(behind, "listeners")
        assert [row["mode"] for row in listeners] == ["sink"] * 3
        assert [sum(row[name] for row in listeners) for name in ("accepted", "held")] == [now["accepted"], 60]
        if number == signal.SIGKILL:
            first = listeners[0]["listener"]
            behind.send(f"listen remove {first}", f"listen add {first}")
            assert behind.line() == "1 listener removed, their clients stay"
            assert behind.line() == "1 listener added"
            again = {row["listener"]: row for row in rows(behind, "listeners")}
            assert (again[first]["accepted"], again[first]["mode"]) == (0, "sink")


def test_a_worker_that_cannot_be_begun_is_begun_later_and_that_is_said_once(free_ports: FreePorts) -> None:
    first = free_ports(1)
    arguments = ("responder", "--listen", f"127.0.0.1:{first}", "--workers", "auto")
    with ExitStack() as stack:
        behind = stack.enter_context(Daemon(*arguments, prefix=limited(200)))
        count = behind.ask("status --json")["workers"]["count"]
        (zygote,) = children(behind.process.pid)
        workers = children(zygote)

        def ended() -> list[int]:
            return [process for process in children(zygote) if process not in workers and not lives(process)]

        # What it forks has room for its connection, and for no loop.
        limits = resource.prlimit(zygote, resource.RLIMIT_NOFILE, (descriptors_of(zygote) + 2, 200))
        clients = count * 140
        for _ in range(clients):
            stack.enter_context(socket.create_connection(("127.0.0.1", first)))
        behind.until(lambda now: now["paused"])
        # One that has ended is there until the next one is forked.
        (attempt,) = eventually(ended, len)
        eventually(ended, lambda found: found and found != [attempt])
        resource.prlimit(zygote, resource.RLIMIT_NOFILE, limits)
        now = behind.until(lambda now: now["held"] == clients)
        assert now["workers"]["count"] > count
        errors = behind.end()[1]
        assert errors.count("has enough clients, and cannot be relieved: a worker ended as soon as it began") == 1


def test_a_worker_that_could_not_be_given_the_listeners_is_given_them_later(free_ports: FreePorts) -> None:
    first, ports = free_ports(90), 90
    arguments = ("responder", "--listen", f"127.0.0.1:{first}-{first + ports - 1}", "--workers", "auto")
    with ExitStack() as stack:
        behind = stack.enter_context(Daemon(*arguments, prefix=limited(300)))
        count = behind.ask("status --json")["workers"]["count"]
        (zygote,) = children(behind.process.pid)
        # What it forks has room for its loop, and for few listeners.
        limits = resource.prlimit(zygote, resource.RLIMIT_NOFILE, (descriptors_of(zygote) + 30, 300))
        # One has descriptors for fewer than 300 - 64 - 90 clients.
        clients = count * 146
        for number in range(clients):
            stack.enter_context(socket.create_connection(("127.0.0.1", first + number % ports)))
        behind.until(lambda now: now["workers"]["count"] > count)
        behind.send("hashsize 100")  # waits until nothing else is changed
        assert behind.line() == "Clients hash size 100"
        for process in (zygote, *children(zygote)):
            resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        behind.until(lambda now: now["held"] == clients)
        assert "cannot be relieved: no descriptors left for 90 listeners: raise ulimit -n" in behind.end()[1]


def test_limits_reckon_with_the_sockets_that_the_console_keeps(free_ports: FreePorts) -> None:
    seats = min(2, len(os.sched_getaffinity(0)))
    ports, more, limit = 170, 100, 100 * seats + 60
    first = free_ports(ports)
    with Daemon("responder", "--listen", f"127.0.0.1:{first}", "--workers", "2", prefix=limited(limit)) as behind:
        behind.send(f"listen add 127.0.0.1:{first + 1}-{first + ports - 1}")
        assert re.fullmatch(r".*cannot listen on 127.0.0.1:\d+: Too many open files; raise ulimit -n", behind.line())
        behind.send(f"listen add 127.0.0.1:{first + 1}-{first + more - 1}")
        assert behind.line() == f"{more - 1} listeners added"
        (found,) = [row for row in behind.ask("limits --json") if row["name"] == "ulimit -n"]
        assert (found["value"], found["needs"], found["enough"]) == (limit, seats * more + 100, False)
