"""An initiator that is refused one line after the other: each costs one line, and leaves everything as it was."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.support import Daemon, alone

_SESSIONS: Final = 2
_STANDING: Final = ("asked", "held", "query", "send", "churn", "probes")


@contextmanager
def refusing() -> Iterator[Daemon]:
    """Give one; that it is never more than refused is asserted at its end."""
    with alone(_SESSIONS) as front:
        yield front
        _, errors, code = front.end()
        assert code in (1, 2)
        assert "Traceback" not in errors


def refused(front: Daemon, line: str) -> str:
    """Return what is said to a line that is refused."""
    before = _standing(front.ask("status --json"))
    front.send(line, "status --json")
    said = front.line()
    assert _standing(json.loads(front.line())) == before
    return said


def _standing(status: Any) -> Any:
    return {name: status[name] for name in _STANDING}
