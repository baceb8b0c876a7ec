"""Load from a whole initiator: commands, what they print, and real DNS servers as the other end."""

import csv
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.daemons.refusals import refused, refusing
from tests.daemons.test_programs import program, running
from tests.support import Daemon, alone, initiator, responder, stall

FreePorts = Callable[[int], int]

ZONE = """$ORIGIN example.com.
$TTL 60
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
@ IN A 192.0.2.1
www IN AAAA 2001:db8::1
"""

NSD = """server:
  ip-address: 127.0.0.1@{port}
  do-ip6: no
  username: ""
  chroot: ""
  zonesdir: "{directory}"
  database: ""
  pidfile: "{directory}/nsd.pid"
  xfrdfile: "{directory}/xfrd.state"
  zonelistfile: "{directory}/zone.list"
  xfrdir: "{directory}"
  tcp-count: 1000
remote-control:
  control-enable: no
zone:
  name: example.com
  zonefile: example.com.zone
"""

UNBOUND = """server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: "{directory}/unbound.pid"
  use-syslog: no
  logfile: ""
  incoming-num-tcp: 1000
  module-config: "iterator"
  local-zone: "example.com." static
  local-data: "example.com. IN A 192.0.2.1"
  local-data: "www.example.com. IN AAAA 2001:db8::1"
remote-control:
  control-enable: no
"""


@pytest.fixture
def pair(free_ports: FreePorts) -> Iterator[Daemon]:
    """Give an initiator with 20 sessions to a responder on two ports."""
    first = free_ports(2)
    with responder(first, 2), initiator(first, 2) as front:
        front.ask("set 20", "wait", "status --json")
        yield front


@pytest.fixture
def front() -> Iterator[Daemon]:
    """Give an initiator with 20 sessions, for what says nothing on them."""
    with alone(20) as daemon:
        yield daemon


@contextmanager
def nsd(directory: Path, port: int) -> Iterator[None]:
    """Run nsd with one small zone."""
    (directory / "example.com.zone").write_text(ZONE)
    (directory / "nsd.conf").write_text(NSD.format(directory=directory, port=port))
    with running([program("nsd"), "-d", "-c", str(directory / "nsd.conf")], port):
        yield


@contextmanager
def unbound(directory: Path, port: int) -> Iterator[None]:
    """Run unbound with the same names as local data."""
    (directory / "unbound.conf").write_text(UNBOUND.format(directory=directory, port=port))
    with running([program("unbound"), "-d", "-c", str(directory / "unbound.conf")], port):
        yield


def test_a_run_says_what_it_is_and_what_became_of_it(pair: Daemon) -> None:
    output, errors, code = pair.end(
        "query 500 for 500ms seed 7 arrivals constant", "wait query 10s", "report", "expect losses == 0", "latency"
    )
    assert code == 0, output
    assert output.startswith("Queries: 500 a second, arrivals constant, for 0.5s, timeout 5.0s, seed 7\n")
    assert "Queries answered         : 250 (" in output
    assert "Answers by code          : 250 (echo 250)\n" in output
    assert "Bytes sent and received  : 7750, 7750\n" in output
    assert "expect losses == 0: met\n" in output
    assert "query       corrected  p50 " in output
    # The result is told unasked, too.
    assert "Queries answered         : 250" in errors


def test_the_same_seed_sends_as_much(pair: Daemon) -> None:
    counts = []
    for _ in range(2):
        pair.send("query 1k for 300ms seed 3", "wait query 10s")
        pair.line()
        counts.append(pair.ask("status --json")["query"]["sent"])
    assert counts[0] == counts[1] > 200


@pytest.mark.parametrize("stop", ["stop", "stop {}", "{} off"])
@pytest.mark.parametrize(
    ("name", "first", "title"),
    [("query", "query 200", "Queries"), ("send", "send x", "Messages")],
)
def test_what_is_stopped_is_told_and_makes_room_at_once(
    pair: Daemon, stop: str, name: str, first: str, title: str
) -> None:
    last = ["query 200 for 200ms", "wait query 10s", "send y rate 10 for 200ms", "wait send 10s"]
    output, errors, code = pair.end(f"{first} seed 7", stop.format(name), f"{first} seed 8", stop.format(name), *last)
    assert code == 0, output + errors
    told = re.findall(rf"^{title} \(.*, seed (\d+)\): ended after", errors, re.MULTILINE)
    assert (told[:2], len(told)) == (["7", "8"], 3)
    assert "exception" not in errors


def test_a_search_for_a_rate_that_is_stopped_tells_what_it_has_found(pair: Daemon) -> None:
    output, errors, code = pair.end("query @1s seed 1", "sleep 3s", "stop query")
    assert code == 0, output + errors
    assert output.startswith("Queries: the highest rate with p95 within 1000 ms, from 100 a second, arrivals poisson,")
    assert "Highest rate             : 100.0 a second" in errors


@pytest.mark.parametrize("last", [["quit"], []])
def test_what_still_runs_is_told_at_the_end(pair: Daemon, last: list[str]) -> None:
    pair.send("query 1k seed 3")
    pair.line()
    pair.until(lambda now: now["query"]["answered"] > 100)
    output, _, code = pair.end(*last)
    assert code == 0
    assert "Queries (1000 a second, arrivals poisson, timeout 5.0s, seed 3): running\n" in output
    assert "Queries answered         : " in output


def test_the_rate_goes_up_and_down_by_steps(pair: Daemon) -> None:
    pair.send("query 100")
    assert pair.line().startswith("Queries: 100 a second")
    rates = []
    for line in ("faster", "slower", "faster 100", "query 50"):
        pair.send(line)
        pair.line()
        rates.append(pair.ask("status --json")["query"]["asked_rate"])
    assert rates == pytest.approx([115, 100, 200, 50])
    pair.send("query off", "wait query 10s")
    assert pair.line() == "Queries: no more are sent"
    assert not pair.ask("status --json")["query"]["running"]


def test_files_say_names_and_rates(pair: Daemon, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("example.com A\nexample.org TXT\n")
    (tmp_path / "steps").write_text("2\n200 100\n200 1000\n")
    (tmp_path / "slope").write_text("500ms 200\n")
    pair.send(f"query schedule {tmp_path}/steps names {tmp_path}/names arrivals constant", "wait query 10s")
    said = pair.line()
    assert said.startswith("Queries: 2 steps over 0.4s, 220 in all, arrivals constant, names ")
    assert pair.ask("status --json")["query"]["answered"] == 220
    pair.send(f"query 100 slope {tmp_path}/slope arrivals constant", "wait query 10s")
    pair.line()
    assert pair.ask("status --json")["query"]["answered"] == 75


def test_a_report_is_written_for_other_programs(pair: Daemon, tmp_path: Path) -> None:
    pair.send("query 1k for 200ms", "wait query 10s", "percentiles 50,90,99.9")
    for name in ("run.json", "run.csv", "run.hgrm"):
        pair.send(f"report {tmp_path / name}")
    output, _, code = pair.end()
    assert code == 0, output
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["query"]["answered"] == report["query"]["due"]
    rows = list(csv.DictReader((tmp_path / "run.csv").read_text().splitlines()))
    corrected = next(row for row in rows if (row["latency"], row["kind"]) == ("query", "corrected"))
    assert int(corrected["count"]) == report["query"]["answered"]
    assert 0 < float(corrected["p50"]) <= float(corrected["p90"]) <= float(corrected["p99.9"])
    assert (tmp_path / "run.hgrm").read_text().split("\n")[0].split() == [
        "Value",
        "Percentile",
        "TotalCount",
        "1/(1-Percentile)",
    ]


def test_a_dump_shows_the_queries_and_their_answers(pair: Daemon) -> None:
    output, errors, code = pair.end(
        "dump on all", "query 100 for 100ms arrivals constant", "wait query 10s", "dump off", "dump on one in", "dump"
    )
    assert code == 0
    said = output.splitlines()
    assert said[0] == "Dump enabled: all sessions, in and out"
    assert said[2:] == ["Dump disabled", "Dump enabled: one session, in", "Dump disabled"]
    lines = [line for line in errors.splitlines() if line.startswith(("Snd ", "Rcv "))]
    # Those that are late go together.
    messages = [(line[:3], re.findall(r"\\x00\\x1d\\x00.*?\\x07example\\x03com\\x00", line)) for line in lines]
    assert [sum(len(those) for word, those in messages if word == way) for way in ("Snd", "Rcv")] == [10, 10]
    assert all(f" {31 * len(those)}: [" in line for line, (_, those) in zip(lines, messages, strict=True))


def test_a_lifetime_is_told_with_what_it_replaced(pair: Daemon) -> None:
    pair.send("lifetime 200ms")
    assert pair.line() == "Lifetime 0.2s"
    assert pair.until(lambda now: now["replaced"] >= 40)["lifetime"] == 0.2
    pair.send("lifetime off", "wait")
    assert pair.line() == "Lifetime of sessions not limited"
    now = pair.ask("status --json")
    assert (now["held"], now["losses"], now["lifetime"]) == (20, {}, None)


def test_rows_go_to_the_output_or_to_a_file(pair: Daemon, tmp_path: Path) -> None:
    output, errors, code = pair.end(
        "query 500 for 300ms arrivals constant csv -",
        "wait query 10s",
        f"query 500 for 300ms arrivals constant csv {tmp_path}/rows",
        "wait query 10s",
    )
    assert code == 0
    header, *rows = (tmp_path / "rows").read_text().splitlines()
    assert output.count(f"{header}\n") == 1
    assert output.startswith(header)  # what is said of the run goes to the errors, so this is a CSV from its first line
    assert "Queries: 500 a second, arrivals constant" in errors
    for found in (rows, output.splitlines()):
        assert [sum(row.startswith(kind) for row in found) for kind in ("Q,", "A,")] == [150, 150]
    assert errors.count("csv rows not written     : 0\n") == 2


@pytest.fixture(scope="module")
def lasting() -> Iterator[Daemon]:
    """Give an initiator that all refusals are tried on."""
    with refusing() as front:
        yield front


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("query 0", '"0" is not a number above 0'),
        ("query -1", '"-1" is not a number above 0'),
        ("query", "a rate is missing"),
        ("query 5 names /nowhere/at/all", "file /nowhere/at/all cannot be read"),
        ("query 5 schedule /dev/null", "goes without a rate"),
        ("query schedule /dev/null", "there is no line in it"),
        ("query 5 name a..b", "no query can be made"),
        ("query 5 names /dev/null name x", "goes without `name`"),
        ("query 5 on 127.0.0.9:9", "is no target"),
        ("query 5 for 0s", "is no time at all"),
        ("query off 5", "takes nothing else"),
        ("query 5 csv /nowhere/at/all", "csv /nowhere/at/all cannot be written: No such file or directory"),
        ("query 5 csv", 'after "csv" comes FILE ('),
        ("stop query", "stop: nothing runs that could be stopped"),
        ("query off", "query off: nothing runs that could be stopped"),
        ("faster", "nothing runs"),
        ("wait query", "no query has begun yet"),
        ("expect speed > 1", 'no figure "speed"'),
        ("expect p99", "is not a condition"),
        ("report run.txt", "ends with none of"),
        ("report /nowhere/at/all.json", "cannot be written"),
        ("percentiles 101", "is not a list of percentiles"),
    ],
)
def test_bad_input_costs_one_line_and_nothing_else(lasting: Daemon, line: str, error: str) -> None:
    assert error in refused(lasting, line)


def test_what_is_not_met_sets_the_exit_code(pair: Daemon) -> None:
    output, _, code = pair.end(
        "query 100 for 100ms", "wait query 10s", "expect p99 < 1us", "expect connect.p50 < 60s", "expect timeouts > 0"
    )
    assert code == 3
    assert "expect p99 < 1us: not met, it is " in output
    assert "expect connect.p50 < 60s: met" in output
    assert "expect timeouts > 0: not met, it is 0" in output


def percentiles(front: Daemon) -> dict[str, float]:
    """Return the p99 of the queries, corrected and raw."""
    rows = front.ask("latency --json")
    return {row["kind"]: row["percentiles"]["99"] for row in rows if row["name"] == "query"}


def frozen(process: int, seconds: float) -> None:
    """Stop a process for so long, whatever it does meanwhile; the time is what is tested."""
    os.kill(process, signal.SIGSTOP)
    stall(seconds)
    os.kill(process, signal.SIGCONT)


def between(values: list[float], percent: float) -> tuple[float, float]:
    """Return bounds of a percentile that a histogram may tell of some values."""
    at = round(len(values) * percent / 100)
    return 0.98 * sorted(values)[at - 2], 1.02 * sorted(values)[at + 2]


def test_a_frozen_initiator_is_seen_in_the_corrected_latency_alone(pair: Daemon, tmp_path: Path) -> None:
    """Whatever else a busy machine holds up: the raw latency is without the time in which nothing could be sent."""
    pair.send(f"query 1k for 3s arrivals constant csv {tmp_path}/rows")
    pair.line()
    pair.until(lambda now: now["query"]["answered"] > 500)
    frozen(pair.process.pid, 1.4)
    pair.send("wait query 30s")
    found = percentiles(pair)
    assert found["corrected"] > 1.2
    answers = [row for row in csv.DictReader((tmp_path / "rows").read_text().splitlines()) if row["type"] == "A"]
    assert pair.ask("status --json")["query"]["answered"] == len(answers) == 3000
    raw = [int(row["rtt_us"]) / 1_000_000 for row in answers]
    corrected = [float(row["timestamp"]) - float(row["due"]) for row in answers]
    for name, values in (("raw", raw), ("corrected", corrected)):
        lowest, highest = between(values, 99)
        assert lowest <= found[name] <= highest
    late = [one - other for one, other in zip(corrected, raw, strict=True)]
    assert len([one for one in late if one > 1.2]) >= 100


def test_a_frozen_responder_is_seen_in_both(free_ports: FreePorts) -> None:
    first = free_ports(1)
    with responder(first) as behind, initiator(first) as front:
        front.ask("set 20", "wait", "status --json")
        front.send("query 1k for 3s arrivals constant")
        front.line()
        front.until(lambda now: now["query"]["answered"] > 500)
        frozen(behind.process.pid, 1.4)
        front.send("wait query 30s")
        found = percentiles(front)
        assert found["corrected"] > 1.2
        assert found["raw"] > 1.2


def test_the_highest_rate_within_a_latency_is_searched(pair: Daemon) -> None:
    _, errors, code = pair.end("query @1us seed 1", "wait query 60s", "stop")
    assert code == 2  # `stop`: it has ended by itself
    assert "Highest rate             : none with p95 within 0.001 ms" in errors
    assert "100.0 a second is too much" in errors


@pytest.mark.program
@pytest.mark.parametrize("server", [nsd, unbound])
def test_a_real_dns_server_answers_every_query(
    free_ports: FreePorts, tmp_path: Path, server: Callable[[Path, int], AbstractContextManager[None]]
) -> None:
    port = free_ports(1)
    (tmp_path / "names").write_text("example.com A\nwww.example.com AAAA\nmissing.example.com A\n")
    with server(tmp_path, port), initiator(port) as front:
        front.ask("set 50", "wait", "status --json")
        front.send(f"query 2k for 1s names {tmp_path}/names seed 1", "wait query 20s")
        front.line()
        query = front.ask("status --json")["query"]
        assert query["answered"] == query["sent"] == query["due"] > 1800
        assert set(query["rcodes"]) == {"NOERROR", "NXDOMAIN"}
        assert (query["unknown"], query["malformed"], query["truncated"]) == (0, 0, 0)
        front.send("query 2k for 500ms edns dnssec seed 2", "wait query 20s")
        front.line()
        query = front.ask("status --json")["query"]
        assert query["rcodes"] == {"NOERROR": query["due"]}


def test_messages_say_what_they_are_and_what_became_of_them(pair: Daemon, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"from a file\n")
    output, errors, code = pair.end(
        r'send "n=\{message}\n" @' + f"{tmp_path}/body first HELLO rate 50 for 500ms escape seed 3",
        "wait send 10s",
        r'send "<\{message}>" rate 10 for 300ms marker "<\{message}>" seed 4',
        "faster 100",
        "wait send 10s",
        "echo check rate 20 for 300ms",
        "wait send 10s",
        "send x for 100ms",
        "wait send 10s",
        "latency",
        "report",
    )
    assert code == 0, output + errors
    words = rf"'n=\{{message}}\n' @{tmp_path}/body"
    assert f"Messages: {words}, 50 a second and session, for 0.5s, first HELLO, escape, seed 3\n" in output
    assert "Messages: 20 a second and session from now on\n" in output
    assert "Messages: echo check of 64 bytes, 20 a second and session, for 0.3s" in output
    assert "message     corrected  p50 " in output
    assert errors.count("Messages failed          : 0\n") == 2
    ended = re.findall(r"^Messages \((.*), seed \d+\): ended after", errors, re.MULTILINE)
    assert len(ended) == 4
    assert ended[-1] == "x, as fast as can be, for 0.1s"


def test_a_run_that_hears_what_it_must_not_ends_with_a_failure(pair: Daemon) -> None:
    _, errors, code = pair.end('send "abc ERROR def" rate 10 stop-on ERROR', "wait send 10s")
    assert code == 1
    assert "send: stopped: 127.0.0.1:" in errors
    assert r"heard b'abc ERROR def'" in errors


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("send", "a message is missing"),
        ("send x rate 0", '"0" is not a number above 0'),
        ("send x rate -1", '"-1" is not a number above 0'),
        ("send x rate @0ms", "is not a latency above 0"),
        ("send x rate @5ms", "needs `marker TEXT`"),
        ("send x rate 5 up 1Mbps", "`rate` goes without `up`"),
        ("send x up 0", "a bandwidth above 0"),
        ("send x up fast", "is not a bandwidth"),
        ("send @/nowhere/at/all", "cannot be read"),
        (r"send '\{nothing}'", "there is no expression"),
        (r"send '\q' escape", "is no escape"),
        ("send ''", "a message is empty"),
        ("send x skip 3", "goes with `marker TEXT`"),
        (r"send x marker '\{time}'", "a marker is made of text"),
        ("send x on 127.0.0.9:9", "is no target"),
        ("send x rate 2m", "2000000 a second and session is too much; at most 1000000"),
        ("send rate 2m", "2000000 a second and session is too much; at most 1000000"),
        ("echo check rate 2m", "echo: 2000000 a second and session is too much"),
        ("send off x", "`send off` takes nothing else"),
        ("echo off rate 5", "echo: `echo off` takes nothing else"),
        ("send off", "send off: nothing runs"),
        ("echo off", "echo off: nothing runs"),
        ("echo check size 5", "a size goes from"),
        ("echo", 'after "echo" comes check or off'),
    ],
)
def test_bad_messages_cost_one_line_and_nothing_else(lasting: Daemon, line: str, error: str) -> None:
    assert error in refused(lasting, line)


def test_what_else_would_go_over_the_sessions_is_refused_and_what_runs_goes_on(front: Daemon) -> None:
    output, _, code = front.end("send x rate 5", "send y", "query 5", "status --json")
    assert code == 2
    (now,) = (json.loads(row)["send"] for row in output.splitlines() if row.startswith("{"))
    assert now["running"]
    assert output.count("messages are being sent over the sessions already") == 2


def test_a_rate_is_compared_with_the_rate_asked_for(pair: Daemon) -> None:
    """Whatever rate is reached: the verdict is that of the figure shown."""
    output, _, code = pair.end(
        "query 500 for 300ms arrivals constant",
        "wait query 10s",
        "expect rate > 0 asked",
        "expect rate > 2 asked",
        "expect rate > 0.9 asked",
    )
    assert code == 3
    _, met, not_met, verdict = output.splitlines()
    assert met == "expect rate > 0 asked: met"
    found = re.fullmatch(r"expect rate > 2 asked: (not met, it is ([\d.]+), asked is 500)", not_met)
    assert found
    assert 0 < float(found[2]) <= 500
    assert verdict == f"expect rate > 0.9 asked: {'met' if float(found[2]) > 450 else found[1]}"
