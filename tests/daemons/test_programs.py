"""Tests of the daemons with real programs as the other end: netcat, socat and nginx, each started and ended here."""

import os
import random
import re
import select
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import PATIENCE, Daemon, eventually, initiator, responder

pytestmark = pytest.mark.program

FreePorts = Callable[[int], int]

NGINX = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_header_timeout {timeout};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ stub_status; }}
    }}
}}
"""


def program(name: str) -> str:
    """Return the path of a program; the test is skipped where there is none."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; give it when it listens on a port."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            until_listening(process, port)
            yield process
        finally:
            process.kill()


def until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until somebody listens on a port, without a session that the server would count."""
    wanted = f" 0100007F:{port:04X} 00000000:0000 0A "

    def sockets() -> str:
        assert process.poll() is None, f"{process.args!r} ended"
        return Path("/proc/net/tcp").read_text()

    eventually(sockets, lambda text: wanted in text)


def filtered(command: Sequence[str], data: bytes) -> bytes:
    """Return what a client prints that is given some data as its input."""
    return subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE, check=True).stdout


def received(process: "subprocess.Popen[bytes]") -> bytes:
    """Return what a program prints next."""
    assert process.stdout
    assert select.select([process.stdout], [], [], PATIENCE)[0]
    return os.read(process.stdout.fileno(), 1 << 16)


def pinging(port: int, interval: str, *arguments: str) -> Daemon:
    """Start an initiator that pings its sessions at this interval."""
    daemon = initiator(port, 1, "--ping", *arguments)
    daemon.send(f"ping interval {interval}")
    assert daemon.line().startswith("Ping interval ")
    return daemon


# As clients of the responder


@pytest.mark.parametrize("size", [5, 100_000, 3_000_000])
def test_netcat_gets_back_what_it_sends(size: int, free_ports: FreePorts) -> None:
    nc, port, data = program("nc"), free_ports(1), random.Random(size).randbytes(size)
    with responder(port) as there:
        assert filtered([nc, "-N", "127.0.0.1", str(port)], data) == data
        now = there.until(lambda now: not now["held"])
        assert (now["received"], now["sent"], now["losses"]) == (size, size, {"fin": 1})


def test_netcat_scans_the_listeners(free_ports: FreePorts) -> None:
    nc, first = program("nc"), free_ports(5)
    with responder(first, 4) as there:
        result = subprocess.run([nc, "-vz", "127.0.0.1", f"{first}-{first + 4}"], capture_output=True, text=True)
        assert result.stderr.count("succeeded") == 4
        now = there.until(lambda now: now["accepted"] == 4 and not now["held"])
        assert sum(now["losses"].values()) == 4


def test_a_netcat_that_is_killed_touches_no_other(free_ports: FreePorts) -> None:
    nc, port = program("nc"), free_ports(1)
    with responder(port) as there:
        clients = [
            subprocess.Popen([nc, "127.0.0.1", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(5)
        ]
        there.until(lambda now: now["held"] == 5)
        for client in clients[:2]:
            client.kill()
            client.communicate()
        now = there.until(lambda now: now["held"] == 3)
        assert now["losses"] == {"fin": 2}
        for client in clients[2:]:
            assert client.stdin
            client.stdin.write(b"still here\n")
            client.stdin.flush()
            assert received(client) == b"still here\n"
            client.kill()
            client.communicate()
        there.until(lambda now: not now["held"])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_socat_gets_back_what_it_sends_over_both_families(host: str, free_ports: FreePorts) -> None:
    socat, port, data = program("socat"), free_ports(1), random.Random(1).randbytes(2_000_000)
    with Daemon("responder", "--listen", f"127.0.0.1:{port}", f"[::1]:{port}") as there:
        assert there.ask("status --json")["listeners"] == 2
        assert filtered([socat, "-t", str(PATIENCE), "-", f"TCP:{host}:{port}"], data) == data


def test_a_socat_that_never_reads_holds_nobody_up(free_ports: FreePorts) -> None:
    socat, port = program("socat"), free_ports(1)
    with responder(port) as there:
        sender = subprocess.Popen(
            [socat, "-u", "OPEN:/dev/zero", f"TCP:127.0.0.1:{port},rcvbuf=4096"], stderr=subprocess.DEVNULL
        )
        there.until(lambda now: now["received"] > 1_000_000)
        assert filtered([socat, "-t", str(PATIENCE), "-", f"TCP:127.0.0.1:{port}"], b"x" * 100_000) == b"x" * 100_000
        now = there.ask("status --json")
        assert now["received"] - now["sent"] <= 1 << 16
        sender.kill()
        sender.wait()
        there.until(lambda now: not now["held"])


# As targets of the initiator


@pytest.mark.parametrize("echo", ["EXEC:cat", "PIPE", "SYSTEM:cat"])
def test_sessions_to_a_socat_that_echoes_are_confirmed(echo: str, free_ports: FreePorts) -> None:
    socat, port = program("socat"), free_ports(1)
    server = [socat, f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=128", echo]
    with running(server, port), pinging(port, "100ms") as here:
        here.send("set 8", "wait 30s")
        now = here.until(lambda now: now["confirmed"] == 8 and now["pings_answered"] >= 20)
        assert (now["held"], now["losses"], now["failures"]) == (8, {}, {})
        here.send("set 0", "wait 30s")
        here.until(lambda now: now["held"] == 0)


def test_sessions_that_a_socat_ends_after_one_answer_are_counted_and_replaced(free_ports: FreePorts) -> None:
    socat, port = program("socat"), free_ports(1)
    server = [socat, f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=128", "EXEC:head -c 4"]
    with running(server, port), pinging(port, "1100ms") as here:
        here.send("set 3", "wait 30s")
        now = here.until(lambda now: now["losses"].get("fin", 0) >= 3 and now["held"] == 3)
        assert now["pings_answered"] >= 3
        assert set(now["losses"]) == {"fin"}


def test_netcat_answers_by_hand_and_goes_away(free_ports: FreePorts) -> None:
    nc, port = program("nc"), free_ports(1)
    with running([nc, "-l", "127.0.0.1", str(port)], port) as server, pinging(port, "100ms") as here:
        assert server.stdin
        assert received(server) == b"PING"
        assert here.ask("status --json")["confirmed"] == 0
        server.stdin.write(b"pong\n")
        server.stdin.flush()
        here.until(lambda now: now["confirmed"] == 1)
        server.kill()
        now = here.until(lambda now: now["failures"].get("refused", 0) >= 2)
        assert (now["held"], now["pausing_targets"], sum(now["losses"].values())) == (0, 1, 1)


@contextmanager
def nginx(directory: Path, port: int, timeout: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx with its own configuration and files; it ends sessions that ask for nothing after a time."""
    path = program("nginx")
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, port=port, timeout=timeout))
    with running([path, "-p", str(directory), "-c", str(configuration), "-e", "stderr"], port) as process:
        yield process


def active_connections(port: int) -> int:
    """Return how many sessions nginx says that it has, the one that asks included."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(10_000), b""))
    found = re.search(rb"Active connections: (\d+)", answer)
    assert found
    return int(found[1])


def test_nginx_has_as_many_sessions_as_are_held(free_ports: FreePorts, tmp_path: Path) -> None:
    port = free_ports(1)
    with nginx(tmp_path, port, "1h"), initiator(port) as here:
        for count in (300, 20):
            here.ask(f"set {count}", "wait 30s", "status --json")
            eventually(lambda: active_connections(port), (count + 1).__eq__)
        assert here.ask("status --json")["losses"] == {}


def test_sessions_that_nginx_ends_are_counted_and_replaced(free_ports: FreePorts, tmp_path: Path) -> None:
    port = free_ports(1)
    with nginx(tmp_path, port, "1500ms"), initiator(port) as here:
        here.send("set 10", "wait 30s")
        now = here.until(lambda now: now["losses"].get("fin", 0) >= 20 and now["held"] == 10)
        assert set(now["losses"]) == {"fin"}
        assert now["failures"] == {}


def test_nginx_which_answers_no_half_line_loses_its_sessions_by_timeout(free_ports: FreePorts, tmp_path: Path) -> None:
    port = free_ports(1)
    with nginx(tmp_path, port, "1h"), pinging(port, "1s", "--ping-timeout", "200ms") as here:
        here.send("set 5", "wait 30s")
        now = here.until(lambda now: now["losses"].get("timeout", 0) >= 5 and now["held"] == 5)
        assert set(now["losses"]) == {"timeout"}


def test_sessions_are_restored_when_nginx_comes_back(free_ports: FreePorts, tmp_path: Path) -> None:
    port = free_ports(1)
    with initiator(port) as here:
        with nginx(tmp_path, port, "1h"):
            assert here.ask("set 100", "wait 30s", "status --json")["held"] == 100
        now = here.until(lambda now: now["held"] == 0 and now["failures"].get("refused", 0) >= 1)
        assert sum(now["losses"].values()) == 100
        with nginx(tmp_path, port, "1h"):
            assert here.ask("wait 30s", "status --json")["held"] == 100
