"""User-space memory of each held session, its table, due times and answers included."""

from collections.abc import Iterator

from tests.benchmarks.harness import Figure, pair, resident, set_up, status

FEW, MANY = 1_000, 19_000


def measure() -> Iterator[Figure]:
    """Yield the bytes of each session at either end, every one of them pinged and answered."""
    with pair(4, "--ping") as (front, behind):
        front.send("ping interval 1-3s")
        front.line()
        sizes = []
        for sessions in (FEW, MANY):
            set_up(front, behind, sessions)
            while status(front)["confirmed"] < sessions:
                front.ask("sleep 500ms", "status --json")
            sizes.append((resident(front.process.pid), resident(behind.process.pid)))
    (few_front, few_behind), (many_front, many_behind) = sizes
    yield Figure("memory: a session in the initiator", (many_front - few_front) / (MANY - FEW), "bytes", 220)
    yield Figure("memory: a session in the responder", (many_behind - few_behind) / (MANY - FEW), "bytes", 260)
    yield Figure("memory: an initiator with 1,000 sessions", few_front / 1e6, "MB")
    yield Figure("memory: a responder with 1,000 sessions", few_behind / 1e6, "MB")
