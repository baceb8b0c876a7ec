"""Tests of a whole responder's modes: options, changes while it runs, dump, marker, bad input."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import PATIENCE, ROOT, Daemon, environment, limited, responder

FreePorts = Callable[[int], int]

MESSAGE = b"hello from here\n"
CONTENT = b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def connect(port: int) -> socket.socket:
    """Return a client of a port of the loopback."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def receive(sock: socket.socket, count: int = 1 << 40) -> bytes:
    """Return so many bytes, or those that come until the end."""
    data = bytearray()
    while len(data) < count and (more := sock.recv(min(count - len(data), 1 << 16))):
        data += more
    return bytes(data)


def rows(daemon: Daemon) -> dict[int, Any]:
    """Return what `listeners --json` shows, by port."""
    count = daemon.ask("status --json")["listeners"]
    daemon.send("listeners --json")
    found = [json.loads(daemon.line()) for _ in range(count)]
    return {int(row["listener"].rpartition(":")[2]): row for row in found}


def modes(daemon: Daemon) -> dict[int, str]:
    """Return the mode of each listener by port."""
    return {port: row["mode"] for port, row in rows(daemon).items()}


def is_in_mode(port: int, mode: str) -> None:
    """Return when a new client has been treated as a mode says."""
    with connect(port) as sock:
        if mode == "active":
            assert receive(sock, 5 * len(MESSAGE)) == 5 * MESSAGE
            return
        sock.sendall(REQUEST)
        if mode == "echo":
            assert receive(sock, len(REQUEST)) == REQUEST
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock) == (CONTENT if mode == "serve" else b"")


def refusal(*arguments: str) -> str:
    """Return the one line that a responder refuses its options with."""
    result = subprocess.run(
        [sys.executable, "-m", "responder", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        env=environment(),
    )
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def content(tmp_path: Path) -> str:
    """Give the path of a file with the content to be served."""
    (tmp_path / "content").write_bytes(CONTENT)
    return str(tmp_path / "content")


def test_each_listener_has_the_mode_that_was_said_before_it(free_ports: FreePorts, content: str) -> None:
    first = free_ports(6)
    port = iter(range(first, first + 6))
    wanted = dict(zip(range(first, first + 5), ("echo", "sink", "sink", "serve", "active"), strict=True))
    with Daemon(
        "responder",
        *("--listen", f"127.0.0.1:{next(port)}"),
        *("--mode", "sink", "--listen", f"127.0.0.1:{next(port)}-{next(port)}"),
        *("--mode", "serve", "--listen", f"127.0.0.1:{next(port)}", "--content", content),
        *("--mode", "active", "-l", f"127.0.0.1:{next(port)}", "--message", MESSAGE.decode(), "--message-rate", "200"),
    ) as there:
        assert modes(there) == wanted
        for number, mode in wanted.items():
            is_in_mode(number, mode)
        now = there.until(lambda now: not now["held"])
        assert now["accepted"] == 5
        found = rows(there)
        counts = [(row["accepted"], row["held"], row["received"], row["sent"]) for row in found.values()][:4]
        size = len(REQUEST)
        assert counts == [(1, 0, size, size), (1, 0, size, 0), (1, 0, size, 0), (1, 0, size, len(CONTENT))]
        active = found[first + 4]
        assert active["messages"] >= 5
        assert active["sent"] == active["messages"] * len(MESSAGE)
        assert found[first + 3]["messages"] == 1
        assert now["messages"] == active["messages"] + 1
        assert now["echoed"] == size
        assert now["sent"] == sum(row["sent"] for row in found.values())
        there.send(f"listen add 127.0.0.1:{next(port)}")
        assert there.line() == "1 listener added"
        assert modes(there)[first + 5] == "active"


def test_the_mode_of_all_is_that_of_listeners_added_later(free_ports: FreePorts) -> None:
    first = free_ports(4)
    with responder(first, 1, "--workers", "2") as there:
        for number, (line, mode) in enumerate((("mode sink", "sink"), (f"mode echo 127.0.0.1:{first}", "sink")), 1):
            there.send(line)
            there.line()
            there.send(f"listen add 127.0.0.1:{first + number}")
            assert there.line() == "1 listener added"
            assert modes(there)[first + number] == mode
        there.send("mode serve")
        there.line()
        there.send(f"listen add 127.0.0.1:{first + 3}")
        assert there.line() == "1 listener added"
        assert modes(there)[first + 3] == "sink"


def test_descriptors_of_listeners_that_are_removed_are_room_for_clients(free_ports: FreePorts) -> None:
    first = free_ports(30)
    with ExitStack() as stack:
        listen = ("--listen", f"127.0.0.1:{first}-{first + 29}")
        there = stack.enter_context(Daemon("responder", *listen, "-u", prefix=limited(128)))
        assert there.ask("status --json")["listeners"] == 30
        for _ in range(100):
            stack.enter_context(connect(first))
        full = there.until(lambda now: now["paused"])
        there.send(f"listen remove 127.0.0.1:{first + 10}-{first + 29}")
        assert there.line() == "20 listeners removed, their clients stay"
        there.until(lambda now: now["paused"] and now["held"] >= full["held"] + 20)


def test_a_mode_is_changed_while_clients_are_connected(free_ports: FreePorts, content: str) -> None:
    first = free_ports(2)
    options = ("--content", content, "--message", MESSAGE.decode(), "--message-rate", "100")
    with responder(first, 2, *options) as there, connect(first) as sock, connect(first + 1) as other:
        there.until(lambda now: now["held"] == 2)
        sock.sendall(b"one")
        assert receive(sock, 3) == b"one"
        there.send(f"mode sink 127.0.0.1:{first}")
        assert there.line() == "1 listener in mode sink"
        sock.sendall(b"two")
        there.until(lambda now: now["received"] == 6)
        there.send(f"mode active 127.0.0.1:{first}")
        assert there.line() == "1 listener in mode active"
        assert receive(sock, len(MESSAGE)) == MESSAGE
        there.send("mode serve")
        assert there.line() == "2 listeners in mode serve"
        assert modes(there) == {first: "serve", first + 1: "serve"}
        other.sendall(REQUEST)
        for each in (sock, other):
            each.shutdown(socket.SHUT_WR)
        data = receive(sock)
        assert data.removesuffix(CONTENT).replace(MESSAGE, b"") == b""
        assert receive(other) == data[len(data) - len(CONTENT) :] == CONTENT
        now = there.until(lambda now: not now["held"])
        assert now["losses"] == {}


@pytest.mark.parametrize("size", [0, 10, 10_000_000])
def test_a_file_of_any_size_is_served_again_and_again(free_ports: FreePorts, tmp_path: Path, size: int) -> None:
    port, path = free_ports(1), tmp_path / "content"
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path.write_bytes(data)
    with Daemon("responder", "--mode", "serve", "--listen", f"127.0.0.1:{port}", "--content", str(path)) as there:
        assert there.ask("status --json")["listeners"] == 1
        for _ in range(3):
            with connect(port) as sock:
                sock.sendall(REQUEST)
                sock.shutdown(socket.SHUT_WR)
                assert receive(sock) == data
        now = there.until(lambda now: not now["held"])
        assert (now["accepted"], now["messages"], now["sent"], now["losses"]) == (3, 3, 3 * size, {})


def test_listeners_are_shown_with_their_counts_behind_what_scripts_read(free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port) as there, connect(port) as sock:
        sock.sendall(b"hello")
        assert receive(sock, 5) == b"hello"
        output, _, _ = there.end("listeners", "status")
        assert f"\n127.0.0.1:{port} : 1 accepted connections, 1 held, mode echo, 5 bytes received, " in output
        assert "Bytes echoed             : 5\n" in output
        assert output.endswith(
            "Bytes sent               : 5\nMessages sent            : 0\nMessages missed          : 0\n"
            "Dump of traffic          : no\n"
        )


def test_a_dump_shows_the_traffic_until_it_is_switched_off(free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port) as there, connect(port) as sock:
        ends = f"127.0.0.1:{sock.getsockname()[1]}->127.0.0.1:{port}"
        for line, answer, data in (
            ("dump on", "Dump enabled: one client, in and out", b"hello\n"),
            ("dump on all out", "Dump enabled: all clients, out", b"\x00\xff"),
            ("dump off", "Dump disabled", b"unseen"),
            ("dump", "Dump enabled: one client, in and out", b"[\\]"),
            ("dump", "Dump disabled", b"unseen"),
        ):
            there.send(line)
            assert there.line() == answer
            sock.sendall(data)
            assert receive(sock, len(data)) == data
        _, errors, code = there.end()
        assert errors.splitlines()[1:] == [
            rf"Rcv {ends} 6: [hello\n]",
            rf"Snd {ends} 6: [hello\n]",
            rf"Snd {ends} 2: [\x00\xff]",
            rf"Rcv {ends} 3: [[\\]]",
            rf"Snd {ends} 3: [[\\]]",
        ]
        assert code == 0


def test_a_dump_of_much_traffic_leaves_the_prompt_alone(free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port) as there, connect(port) as sock:
        there.send("dump on all")
        assert there.line() == "Dump enabled: all clients, in and out"
        for _ in range(2_000):
            sock.sendall(b"x" * 100)
            assert receive(sock, 100) == b"x" * 100
        there.send("dump off")
        found = re.fullmatch(r"Dump disabled, (\d+) reads and writes were left out", there.line())
        assert found
        _, errors, _ = there.end()
        shown = [line for line in errors.splitlines() if line.startswith(("Rcv", "Snd"))]
        assert len(shown) + int(found[1]) == 4_000


def test_markers_are_counted_and_timed_while_asked_for(free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port) as there, connect(port) as sock:

        def send_stamped() -> None:
            data = b"SessionerTS-%016x.text\n" % (time.time_ns() // 1000)
            sock.sendall(data)
            assert receive(sock, len(data)) == data

        send_stamped()
        assert there.ask("status --json")["marker"] is None
        there.send("marker on")
        assert there.line() == "Marker enabled"
        for _ in range(20):
            send_stamped()
        figures = there.ask("status --json")["marker"]
        assert (figures["messages"], figures["ahead"]) == (20, 0)
        assert 0 < figures["p50"] <= figures["p99"] < PATIENCE
        output, _, _ = there.end("status", "marker off", "status")
        before, after = output.split("Marker disabled\n")
        assert re.search(r"^Messages with a marker   : 20, \d+ per second$", before, re.MULTILINE)
        assert re.search(
            r"^One-way latency          : p50 \S+ ms, p99 \S+ ms, by one host's clock$", before, re.MULTILINE
        )
        assert "marker" not in after
        assert "latency" not in after


def test_markers_may_be_looked_for_from_the_start(free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port, 1, "--marker") as there, connect(port) as sock:
        data = b"SessionerTS-%016x." % (time.time_ns() // 1000)
        sock.sendall(data)
        assert receive(sock, len(data)) == data
        assert there.ask("status --json")["marker"]["messages"] == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--mode", "active"), "mode active has nothing to send: start the responder with --message TEXT"),
        (("--mode", "serve"), "mode serve has nothing to answer: start the responder with --content FILE"),
        (("--mode", "discard"), "'discard'"),
        (("--mode", "serve", "--content", "/nowhere"), "file /nowhere cannot be read: No such file or directory"),
        (("--message-rate", "none"), '"none" is not a number above 0'),
        (("--nagle", "1"), "'1'"),
        (("--rcvbuf", "much"), '"much" is not a size'),
        (("--dscp", "64"), '"64" is too large'),
    ],
)
def test_wrong_options_are_refused_before_anything_is_opened(
    free_ports: FreePorts, arguments: tuple[str, ...], named: str
) -> None:
    with socket.create_server(("127.0.0.1", free_ports(1))) as taken:
        # What could not be listened on would be another error, with another exit code.
        line = refusal(*arguments, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert line.startswith("sessioner_responder: ")
        assert named in line


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (
            "mode",
            'mode: after "mode" comes echo or sink or active or serve; '
            "the form is: mode echo|sink|active|serve [ADDRS]",
        ),
        ("mode discard", 'mode: "discard" does not belong there; the form is: mode echo|sink|active|serve [ADDRS]'),
        ("mode sink nonsense", 'mode: bad address "nonsense": no port; '),
        ("mode sink 127.0.0.9:9", "mode: 127.0.0.9:9 is no listener; `listeners` shows them"),
        ("mode active", "mode: mode active has nothing to send: start the responder with --message TEXT"),
        ("mode serve", "mode: mode serve has nothing to answer: start the responder with --content FILE"),
        ("dump on some", 'dump: "some" does not belong there; '),
        ("dump off in", 'dump: "in" does not belong there; '),
        ("marker maybe", 'marker: "maybe" does not belong there; '),
    ],
)
def test_a_wrong_line_is_refused_and_changes_nothing(free_ports: FreePorts, line: str, answer: str) -> None:
    port = free_ports(1)
    with responder(port) as there:
        there.send(line)
        assert there.line().startswith(answer)
        assert modes(there) == {port: "echo"}
        is_in_mode(port, "echo")
        now = there.ask("status --json")
        assert (now["dump"], now["marker"]) == (None, None)
        assert there.end()[2] == 2
