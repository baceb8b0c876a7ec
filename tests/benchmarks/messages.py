"""Messages into a raw sink in C: how evenly they come, and how many bytes a second beside a raw sender."""

from collections.abc import Iterator
from statistics import median

from tests.benchmarks.harness import Figure
from tests.benchmarks.peers import compile_peers, sender, sink
from tests.support import initiator

RUNS = 5
SECONDS = 5

_MESSAGE = "x" * 20


def measure() -> Iterator[Figure]:
    """Yield the figures of the message workload."""
    compile_peers()
    yield from _evenly()
    yield from _fully()


def _evenly(sessions: int = 2000, rate: int = 50) -> Iterator[Figure]:
    """Yield how far the whole seconds are from what was asked, as the sink counts them."""
    furthest, sent = [], []
    for _ in range(RUNS):
        with sink(1, len(_MESSAGE)) as program, initiator(program.ports[0]) as front:
            front.ask(f"set {sessions}", "wait", "status --json")
            front.send(f"send {_MESSAGE} rate {rate} for {SECONDS}s", "wait send")
            now = front.ask("status --json")["send"]
            *seconds, _report = program.end()
        whole = [second["messages"] for second in seconds[1:-1]]
        furthest.append(max(abs(count / (sessions * rate) - 1) for count in whole))
        sent.append(now["sent"] / now["due"])
    name = f"messages: {sessions} sessions, {rate}/s each"
    yield Figure(f"{name}: a whole second is off by", median(furthest), "", 0.01)
    yield Figure(f"{name}: sent / due", median(sent), "", 0.99, at_least=True)


def _fully(sessions: int = 100, size: int = 1 << 16) -> Iterator[Figure]:
    """Yield our bytes a second into the sink beside those of the raw sender, taken in turns."""
    ratios = []
    for _ in range(RUNS):
        with sink(1) as program:
            with sender(program.ports, sessions, size, SECONDS) as raw:
                report = raw.end()[-1]
                theirs = report["bytes"] / report["wall_s"]
            with initiator(program.ports[0]) as front:
                front.ask(f"set {sessions}", "wait", "status --json")
                front.send(f"send {_MESSAGE} for {SECONDS}s", "wait send")
                now = front.ask("status --json")["send"]
                ours = now["traffic"]["sent"] / now["seconds"]
        ratios.append(ours / theirs)
    yield Figure(
        f"messages: {sessions} sessions at full speed: bytes / a raw sender's", median(ratios), "", 0.8, at_least=True
    )
