"""What all benchmarks need: the floor, the daemons, CPU time and memory of processes, figures with their bounds."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from tests.ports import find_free_ports
from tests.support import Daemon, initiator, responder

FLOOR = Path(__file__).parent / "floor"

RUNS = 7


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with what it is asked to be: at most, or at least, `bound`; None where it only stands beside."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the number is on the right side of its bound."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        """Return the figure's one line."""
        asked = ""
        if self.bound is not None:
            asked = f"  asked {'>=' if self.at_least else '<='} {self.bound:g}  {'ok' if self.met else 'MISSED'}"
        return f"{self.name:<66} {self.value:>10.3f} {self.unit:<12}{asked}"


@dataclass(frozen=True, slots=True)
class SetUp:
    """What it took to open sessions: seconds on the clock, microseconds of CPU time of both ends each."""

    wall: float
    cpu: float


def compile_floor() -> None:
    """Compile the raw programs that are the floor."""
    for name in ("floor_initiator", "floor_responder"):
        compile_program(name)


def compile_program(name: str, *shared: str) -> None:
    """Compile a raw program with the sources it shares with others, if any of them is newer than it is."""
    program, sources = FLOOR / name, [FLOOR / f"{name}.c", *(FLOOR / source for source in shared)]
    if not program.exists() or program.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        flags = ["-O2", "-Wall", "-Wextra", "-std=c11", "-D_GNU_SOURCE"]
        compiled = [source for source in sources if source.suffix == ".c"]
        subprocess.run(["cc", *flags, "-o", program, *compiled], check=True)


@contextmanager
def floor_listening(ports: int) -> Iterator[list[int]]:
    """Give the ports of a raw responder."""
    with subprocess.Popen(
        [FLOOR / "floor_responder", "127.0.0.1", str(find_free_ports(ports)), str(ports)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as behind:
        assert behind.stdout and behind.stdin
        yield [int(port) for port in behind.stdout.readline().split()]
        behind.stdin.close()
        behind.stdout.read()


def floor_set_up(sessions: int, ports: int) -> SetUp:
    """Open sessions from the raw initiator to the raw responder."""
    with subprocess.Popen(
        [FLOOR / "floor_responder", "127.0.0.1", str(find_free_ports(ports)), str(ports)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as behind:
        assert behind.stdout and behind.stdin
        listening = behind.stdout.readline().split()
        with subprocess.Popen(
            [FLOOR / "floor_initiator", "127.0.0.1", str(sessions), *listening],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as front:
            assert front.stdout
            opened = json.loads(front.stdout.readline())
            accepted_cpu = cpu_seconds(behind.pid)
        behind.stdin.close()
        behind.stdout.read()
    assert opened["held"] == sessions
    cpu = opened["user_s"] + opened["system_s"] + accepted_cpu
    return SetUp(opened["wall_s"], cpu / sessions * 1e6)


@contextmanager
def pair(ports: int, *arguments: str) -> Iterator[tuple[Daemon, Daemon]]:
    """Give an initiator and a responder on so many ports, each with its one session held."""
    first = find_free_ports(ports)
    with responder(first, ports) as behind, initiator(first, ports, *arguments) as front:
        front.ask("wait", "status --json")
        yield front, behind


def set_up(front: Daemon, behind: Daemon, sessions: int) -> SetUp:
    """Ask for sessions, and return what it took until all were held."""
    before = status(front)["held"]
    pids = (front.process.pid, behind.process.pid)
    cpu = sum(map(cpu_seconds, pids))
    wall = monotonic()
    front.ask(f"set {sessions}", "wait", "status --json")
    wall = monotonic() - wall
    behind.ask(f"wait clients {sessions}", "status --json")
    cpu = sum(map(cpu_seconds, pids)) - cpu
    return SetUp(wall, cpu / (sessions - before) * 1e6)


def status(daemon: Daemon) -> Any:
    """Return a daemon's figures."""
    return daemon.ask("status --json")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process's threads have used, to the nanosecond: proc(5), schedstat."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def resident(pid: int) -> int:
    """Return the bytes of a process's resident set that are its own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) * 1024


def interleaved(runs: int, *measures: Callable[[], SetUp]) -> list[list[SetUp]]:
    """Return the results of each measure, made in turn so that the machine's drift meets them all."""
    results: list[list[SetUp]] = [[] for _ in measures]
    for _ in range(runs):
        for measure, own in zip(measures, results, strict=True):
            own.append(measure())
    return results


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of the pairs."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))
