"""What tests drive: whole daemons with pipes for standard streams, and plain sockets as the other end."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import pack
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self, TypeVar

from common.addresses import Address, Endpoint

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent

# Seconds after which a step of a whole daemon counts as hanging: no test waits for them unless it fails.
PATIENCE = 120


def environment() -> dict[str, str]:
    """Return the environment that daemons are started in: their own sources, and warnings that are errors.

    The sources are compiled once, whatever the caller's environment says, and not at every start of hundreds.
    """
    python = {"PATH": str(ROOT), "WARNINGS": "error", "UNBUFFERED": "1", "DONTWRITEBYTECODE": ""}
    return {**os.environ, **{f"PYTHON{name}": value for name, value in python.items()}}


def descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Daemon:
    """One daemon with pipes for its standard streams; leaving the block ends it."""

    def __init__(self, name: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
        )
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=PATIENCE)

    def send(self, *lines: str) -> None:
        """Write lines to the daemon's standard input."""
        assert self.process.stdin
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def line(self) -> str:
        """Return the next line of the daemon's standard output, without its end."""
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        end = monotonic() + PATIENCE
        while b"\n" not in self._read:
            assert select.select([descriptor], [], [], end - monotonic())[0], f"no whole line: {self._read!r}"
            data = os.read(descriptor, 1 << 16)
            assert data, f"the output ended: {self._read!r}"
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def ask(self, *lines: str) -> Any:
        """Write lines of which the last answers with one line of JSON, and return that; what the others say is lost."""
        self.send(*lines)
        line = self.line()
        while not line.startswith(("{", "[")):
            line = self.line()
        return json.loads(line)

    def until(self, check: Callable[[Any], bool]) -> Any:
        """Ask for the status until a check of it holds, and return that status."""
        end = monotonic() + PATIENCE
        while not check(status := self.ask("status --json")):
            assert monotonic() < end, f"the status stays at {status}"
            self.send("sleep 10ms")
        return status

    def end(self, *lines: str) -> tuple[str, str, int]:
        """Write last lines, close the input, and return what came out, what was said on stderr, the exit code."""
        text = "".join(f"{line}\n" for line in lines)
        output, errors = self.process.communicate(text.encode(), timeout=PATIENCE)
        output, self._read = self._read + (output or b""), b""
        return output.decode(), errors.decode(), self.process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon."""
        self.process.send_signal(number)


def eventually(find: Callable[[], T], check: Callable[[T], object]) -> T:
    """Return what is found when a check of it holds: for what tells nobody that it has changed, as files and /proc."""
    end = monotonic() + PATIENCE
    while not check(found := find()):
        assert monotonic() < end, f"it stays at {found!r}"
        sleep(0.02)
    return found


def stall(seconds: float) -> None:
    """Hold up whoever calls for at least so long, as a busy machine does: a stall is what is tested."""
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        sleep(left)


def limited(descriptors: int) -> Sequence[str]:
    """Return the prefix that starts a daemon with a limit on its descriptors."""
    return ("sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh")


def responder(first: int, count: int = 1, *arguments: str) -> Daemon:
    """Start a responder on neighbouring ports of the loopback, and return when it listens."""
    daemon = Daemon("responder", "--listen", f"127.0.0.1:{first}-{first + count - 1}", *arguments)
    assert daemon.ask("status --json")["listeners"] == count
    return daemon


def initiator(first: int, count: int = 1, *arguments: str) -> Daemon:
    """Start an initiator with neighbouring ports of the loopback as its targets."""
    return Daemon("initiator", "--target", f"127.0.0.1:{first}-{first + count - 1}", *arguments)


@contextmanager
def alone(sessions: int) -> Iterator[Daemon]:
    """Give an initiator with so many sessions that nobody says anything on."""
    with Peer() as peer, Daemon("initiator", "--target", str(peer.address)) as front:
        assert front.ask(f"set {sessions}", "wait", "status --json")["held"] == sessions
        yield front


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Return when a check holds; what a test waits for is bounded as a whole."""
    while True:
        if await check():
            return
        await asyncio.sleep(0.005)


def round_of(trying: str) -> int:
    """Return the round that a bench is in, 0 before the first."""
    return int(trying.split()[1]) if trying.startswith("round ") else 0


class Lines:
    """A sink that keeps what is shown."""

    def __init__(self) -> None:
        self.text = ""

    async def show(self, text: str) -> None:
        self.text += text

    def note(self, text: str) -> None:
        self.text += text


class Peer:
    """A listening socket of the loopback that does nothing but what a test asks for; leaving the block closes all."""

    def __init__(self, host: str = "127.0.0.1", backlog: int | None = 1024) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self.address = Address(*self._socket.getsockname()[:2])
        self.accepted: list[socket.socket] = []
        if backlog is not None:
            self.listen(backlog)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for sock in (self._socket, *self.accepted):
            sock.close()

    @property
    def endpoint(self) -> Endpoint:
        """The address as what a target or a listener is added by."""
        return Endpoint(self.address.host, self.address.port, self.address.port)

    def listen(self, backlog: int = 1024) -> None:
        """Listen; until then the port is taken, and refuses every session."""
        self._socket.listen(backlog)

    async def accept(self) -> socket.socket:
        """Return the next session; it is closed at the end of the block."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        sock.setblocking(False)
        self.accepted.append(sock)
        return sock


@contextmanager
def full_queue(peer: Peer) -> Iterator[None]:
    """Fill the queue of a peer that accepts nothing, so that it answers no SYN: to it, the path is a black hole."""
    fillers: list[socket.socket] = []
    try:
        while not fillers or select.select([], fillers[-1:], [], 0.05)[1]:
            filler = socket.socket()
            filler.setblocking(False)
            fillers.append(filler)
            with suppress(BlockingIOError):
                filler.connect(peer.address)
        yield
    finally:
        for filler in fillers:
            filler.close()


def reset(sock: socket.socket) -> None:
    """Close a socket with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
    sock.close()


@contextmanager
def session(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a session over the loopback, the one that connected first; both block."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        ours = socket.create_connection(server.getsockname()[:2])
        theirs, _ = server.accept()
    with ours, theirs:
        yield ours, theirs
