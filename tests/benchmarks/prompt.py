"""The prompt at a real pseudo-terminal while sessions are opened and closed at full speed."""

import os
import pty
import select
import sys
import termios
import threading
from collections.abc import Iterator
from statistics import median, quantiles
from time import monotonic

from tests.benchmarks.harness import Figure, median_ratio, status
from tests.ports import find_free_ports
from tests.support import PATIENCE, ROOT, Daemon, responder

SESSIONS = 19_000
ROUNDS = 6
UNREAD = 3.0

# Queries a second, and the sessions they go over, while so many keys and commands are typed.
RATE, LOADED, TYPED = 50_000, 2_000, 300


class Typist:
    """An initiator at a pseudo-terminal, typed at and read like a person would."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.chdir(ROOT)
            os.environ.update(TERM="xterm", XDG_STATE_HOME="/nonexistent")
            os.execv(sys.executable, [sys.executable, "-m", "initiator", *arguments])
        termios.tcsetwinsize(self.terminal, (40, 120))
        self.read_until(b"initiator $ ")

    def type(self, text: bytes) -> None:
        """Type a text."""
        os.write(self.terminal, text)

    def read_until(self, wanted: bytes) -> bytes:
        """Read the screen until a text appears, and return what was read."""
        seen = b""
        end = monotonic() + PATIENCE
        while wanted not in seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - monotonic()))
            assert ready, f"{wanted!r} did not appear, but {seen[-2000:]!r}"
            seen += os.read(self.terminal, 65536)
        return seen

    def read_on(self, stop: threading.Event) -> None:
        """Read whatever appears until told to stop."""
        while not stop.is_set():
            if select.select([self.terminal], [], [], 0.1)[0]:
                os.read(self.terminal, 65536)

    def time(self, typed: bytes, answer: bytes) -> float:
        """Return the milliseconds from a text typed to its answer on the screen."""
        begin = monotonic()
        self.type(typed)
        self.read_until(answer)
        return (monotonic() - begin) * 1000

    def leave(self) -> None:
        """Type `quit`, and wait for the end."""
        self.type(b"quit\r")
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:  # the other side has closed the terminal
            pass
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def measure() -> Iterator[Figure]:
    """Yield the times of echoes and of `status` while opening and closing, and what an unread terminal costs."""
    first = find_free_ports(4)
    with responder(first, 4) as behind:
        typist = Typist("--target", f"127.0.0.1:{first}-{first + 3}")
        echoes: list[float] = []
        answers: list[float] = []
        for sessions in (SESSIONS, 0) * ROUNDS:
            typist.type(b"set %d\r" % sessions)
            while status(behind)["held"] != sessions:
                echoes.append(typist.time(b"z", b"z"))
                typist.type(b"\x7f")
                answers.append(typist.time(b"status\r", b"Age of these figures"))
        pause = _longest_pause(typist)
        yield Figure("prompt: a key's echo, median", median(echoes), "ms")
        yield Figure("prompt: a key's echo, 99th percentile", quantiles(echoes, n=100)[98], "ms", 20)
        yield Figure("prompt: `status`, median", median(answers), "ms")
        yield Figure("prompt: `status`, 99th percentile", quantiles(answers, n=100)[98], "ms", 50)
        yield Figure("prompt: keys typed, and as often `status`", len(echoes), "")
        yield Figure("prompt: longest pause of the loop", pause, "ms", 50)
        read, unread = [], []
        for _ in range(5):
            read.append(_flooded(typist, behind, is_read=True))
            unread.append(_flooded(typist, behind, is_read=False))
        yield Figure("prompt: opening, terminal unread / read", median_ratio(unread, read), "", 1.2)
        typist.leave()
        yield from _under_load(first)


def _under_load(port: int) -> Iterator[Figure]:
    """Yield the times of echoes and of `status` while queries are sent."""
    typist = Typist("--target", f"127.0.0.1:{port}")
    typist.type(b"set %d\rwait\rquery %d\r" % (LOADED, RATE))
    typist.read_until(b"Queries: ")
    echoes, answers = [], []
    for _ in range(TYPED):
        echoes.append(typist.time(b"z", b"z"))
        typist.type(b"\x7f")
        answers.append(typist.time(b"status\r", b"Age of these figures"))
    pause = _longest_pause(typist)
    name = f"prompt: {RATE}/s queries over {LOADED}"
    yield Figure(f"{name}: a key's echo, 99th percentile", quantiles(echoes, n=100)[98], "ms", 20)
    yield Figure(f"{name}: `status`, 99th percentile", quantiles(answers, n=100)[98], "ms", 50)
    yield Figure(f"{name}: longest pause of the loop", pause, "ms", 50)
    typist.leave()


def _longest_pause(typist: Typist) -> float:
    """Return what `status` says, in milliseconds."""
    typist.type(b"status\r")
    said = typist.read_until(b"Age of these figures")
    return float(said.rpartition(b"Longest pause            : ")[2].split()[0])


def _flooded(typist: Typist, behind: Daemon, *, is_read: bool) -> float:
    """Return the seconds that opening takes while much more is printed than a terminal that is not read can hold."""
    begin = monotonic()
    typist.type(b"set %d\rhelp\r" % SESSIONS + b"\r" * 100)
    stop = threading.Event()
    reader = threading.Thread(target=typist.read_on, args=(stop,))
    if is_read:
        reader.start()
    behind.ask(f"wait clients {SESSIONS}", "status --json")
    seconds = monotonic() - begin
    if not is_read:
        behind.ask(f"sleep {UNREAD}s", "status --json")
        reader.start()
    typist.type(b"set 0\r")
    while status(behind)["held"]:
        behind.ask("sleep 100ms", "status --json")
    behind.ask("sleep 1s", "status --json")
    stop.set()
    reader.join()
    return seconds
