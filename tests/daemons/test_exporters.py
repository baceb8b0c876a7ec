"""Tests of the exporters with the real programs that they speak to: Prometheus, promtool, collectd's StatsD server."""

import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.addresses import Address
from tests.common.exporters.test_prometheus import scrape
from tests.daemons.test_programs import program, running
from tests.support import PATIENCE, Daemon, eventually, initiator, responder

FreePorts = Callable[[int], int]

PROMETHEUS = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: initiator
    static_configs:
      - targets: ["127.0.0.1:{front}"]
  - job_name: responder
    static_configs:
      - targets: ["127.0.0.1:{back}"]
"""

COLLECTD = """
BaseDir "{directory}"
PIDFile "{directory}/pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Interval 1
Hostname "here"
LoadPlugin statsd
LoadPlugin csv
<Plugin statsd>
  Host "127.0.0.1"
  Port "{port}"
</Plugin>
<Plugin csv>
  DataDir "{directory}"
</Plugin>
"""


@contextmanager
def scraped_pair(free_ports: FreePorts) -> Iterator[tuple[Daemon, Address, Address]]:
    """Give an initiator with 20 sessions to a responder on two ports, and where both are scraped."""
    first = free_ports(4)
    front, back = Address("127.0.0.1", first + 2), Address("127.0.0.1", first + 3)
    with (
        responder(first, 2, "--prometheus", str(back.port)),
        initiator(first, 2, "--prometheus", str(front)) as daemon,
    ):
        query(daemon, "set 20", "wait", "query 100 for 300ms")
        yield daemon, front, back


def query(daemon: Daemon, *lines: str) -> Any:
    """Write lines of which the last begins to send queries, and return the status when these have ended."""
    daemon.send(*lines, "wait query")
    assert daemon.line().startswith("Queries: ")
    return daemon.ask("status --json")


def becomes(find: Callable[[], Any], wanted: Any) -> None:
    """Return when what is found is what is wanted."""
    eventually(find, lambda found: bool(found == wanted))


@pytest.mark.program
def test_prometheus_scrapes_both_daemons(free_ports: FreePorts, tmp_path: Path) -> None:
    path, port = program("prometheus"), free_ports(1)
    with scraped_pair(free_ports) as (daemon, front, back):
        sent = daemon.ask("status --json")["query"]["sent"]
        config = tmp_path / "prometheus.yml"
        config.write_text(PROMETHEUS.format(front=front.port, back=back.port))
        command = [path, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]

        def ask(query: str) -> list[float]:
            text = urllib.parse.urlencode({"query": query})
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{text}", timeout=PATIENCE) as answer:
                    return [float(row["value"][1]) for row in json.load(answer)["data"]["result"]]
            except urllib.error.HTTPError as failure:
                # It listens before it is ready.
                assert failure.code == 503
                return []

        with running([*command, f"--web.listen-address=127.0.0.1:{port}"], port):
            becomes(lambda: ask("up"), [1, 1])
            becomes(lambda: ask("sessioner_initiator_sessions_held"), [20])
            assert ask("sum(sessioner_initiator_target_sessions_held)") == [20]
            assert ask("sessioner_initiator_queries_answered_total") == [sent]
            assert ask('sum(sessioner_initiator_answers_total{rcode="echo"})') == [sent]
            assert ask("sum(sessioner_initiator_sessions_lost_total)") == [0]
            (p95,) = ask('histogram_quantile(0.95, sessioner_initiator_query_seconds_bucket{kind="corrected"})')
            assert p95 > 0
            assert ask("sum(sessioner_responder_listener_clients)") == ask("sessioner_responder_clients") == [20]
            # Another second, another scrape.
            daemon.ask("set 26", "wait", "status --json")
            becomes(lambda: ask("sessioner_initiator_sessions_held"), [26])
            becomes(lambda: ask("sessioner_responder_clients"), [26])


@pytest.mark.program
def test_promtool_finds_nothing_wrong_with_the_names(free_ports: FreePorts) -> None:
    promtool = program("promtool")
    with scraped_pair(free_ports) as (_, *addresses):
        for address in addresses:
            result = subprocess.run(
                [promtool, "check", "metrics"],
                input=scrape(address),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.program
def test_a_real_statsd_server_adds_up_what_it_is_told(free_ports: FreePorts, tmp_path: Path) -> None:
    path, port, first = program("collectd"), free_ports(1), free_ports(2)
    config = tmp_path / "collectd.conf"
    config.write_text(COLLECTD.format(directory=tmp_path, port=port))

    def last(name: str) -> float | None:
        """Return the last value that was written under a name."""
        for file in (tmp_path / "here" / "statsd").glob(f"{name}-2*"):
            return float(file.read_text().splitlines()[-1].rpartition(",")[2])
        return None

    with subprocess.Popen(
        [path, "-f", "-C", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            becomes(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text(), True)
            arguments = ("--statsd", f"localhost:{port}", "--statsd-namespace", "box", "--statsd-window", "200ms")
            with responder(first, 2), initiator(first, 2, *arguments) as daemon:
                status = query(daemon, "set 20", "wait", "query 500 for 1s")
                becomes(lambda: last("gauge-box.connections.total"), 20)
                becomes(lambda: last("derive-box.connections.opened"), 20)
                becomes(lambda: last("derive-box.traffic.msgs.sent"), status["query"]["sent"])
                becomes(lambda: last("derive-box.traffic.msgs.rcvd"), status["query"]["answered"])
                becomes(lambda: last("derive-box.traffic.data.sent"), status["traffic"]["sent"])
                median = last("gauge-box.latency.message.mean")
                assert median
                assert median > 0
                daemon.end("quit")
            # Its last word.
            becomes(lambda: last("gauge-box.connections.total"), 0)
        finally:
            server.kill()


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_a_port_that_is_taken_ends_the_process_with_one_line(name: str) -> None:
    where = {"initiator": "--target", "responder": "--listen"}[name]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Daemon(name, where, "127.0.0.1:9", "--prometheus", str(port)) as daemon:
            output, errors, code = daemon.end()
    assert (output, code) == ("", 2)
    assert errors == f"sessioner_{name}: cannot serve Prometheus on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_a_statsd_server_that_is_not_known_ends_the_process_with_one_line(name: str) -> None:
    where = {"initiator": "--target", "responder": "--listen"}[name]
    with Daemon(name, where, "127.0.0.1:9", "--statsd", "no.such.host.invalid:8125") as daemon:
        output, errors, code = daemon.end()
    assert (output, code) == ("", 1)
    (line,) = errors.splitlines()
    assert line.startswith(f'sessioner_{name}: host "no.such.host.invalid" cannot be resolved: ')


def test_a_statsd_server_that_is_not_there_disturbs_nothing(free_ports: FreePorts) -> None:
    first, closed = free_ports(1), free_ports(1)
    arguments = ("--statsd", f"127.0.0.1:{closed}", "--statsd-window", "100ms")
    with responder(first, 1, *arguments), initiator(first, 1, *arguments) as daemon:
        status = query(daemon, "set 50", "wait", "query 100 for 1s")
        assert (status["held"], status["losses"]) == (50, {})
        assert status["query"]["answered"] == status["query"]["sent"] > 50
        _, errors, code = daemon.end("quit")
    assert code == 0
    assert errors.count(f"StatsD at 127.0.0.1:{closed}: Connection refused") == 1
