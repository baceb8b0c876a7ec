"""Whole daemons as tests drive them: processes with pipes for standard streams."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent

# Seconds that a step of a whole daemon may take on a busy machine before the test fails.
PATIENCE = 60


class Daemon:
    """One daemon with pipes for its standard streams; leaving the block ends it."""

    def __init__(self, name: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"},
        )

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

    def ask(self, *lines: str) -> Any:
        """Write lines of which the last answers with one line of JSON, and return that."""
        assert self.process.stdout
        self.send(*lines)
        return json.loads(self.process.stdout.readline())

    def end(self, *lines: str) -> tuple[str, str, int]:
        """Write last lines, close the input, and return what came out, what was said on stderr, the exit code."""
        text = "".join(f"{line}\n" for line in lines)
        output, errors = self.process.communicate(text.encode(), timeout=PATIENCE)
        return output.decode(), errors.decode(), self.process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon."""
        self.process.send_signal(number)


def responder(first: int, count: int = 1, *arguments: str) -> Daemon:
    """Start a responder on neighbouring ports of the loopback, and return when it listens."""
    daemon = Daemon("responder", "--listen", f"127.0.0.1:{first}-{first + count - 1}", *arguments)
    assert daemon.ask("status --json")["listeners"] == count
    return daemon


def initiator(first: int, count: int = 1, *arguments: str) -> Daemon:
    """Start an initiator with neighbouring ports of the loopback as its targets."""
    return Daemon("initiator", "--target", f"127.0.0.1:{first}-{first + count - 1}", *arguments)
