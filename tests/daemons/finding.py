"""What searches of whole daemons have in common: the box that they are made behind, and the search to its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.daemons.namespaces import RIGHT, Network, missing
from tests.support import Daemon

_FIRST: Final = 5000
_TARGETS: Final = 4
_ADDRESSES: Final = f"{RIGHT}:{_FIRST}-{_FIRST + _TARGETS - 1}"

# Searches behind one box, each of which must find its limit.
RUNS: Final = 3


@contextmanager
def behind(limit: Callable[[Network], None], workers: str = "1") -> Iterator[Daemon]:
    """Give an initiator that holds nothing, in so many processes, with a responder behind a box that limits something.

    The box translates addresses, and lets all else pass.
    """
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Network() as network:
        network.masquerade()
        limit(network)
        with (
            Daemon("responder", "--listen", _ADDRESSES, prefix=network.right.prefix) as server,
            Daemon("initiator", "--target", _ADDRESSES, "--workers", workers, prefix=network.left.prefix) as front,
        ):
            assert server.ask("status --json")["listeners"] == _TARGETS
            front.send("set 0")
            front.until(lambda now: now["held"] == now["attempts"] == 0)
            yield front


def found(front: Daemon, command: str) -> dict[str, Any]:
    """Begin a search, and return what it has found at its end."""
    front.send(command)
    assert front.line().startswith("Find:")
    figures: dict[str, Any] = front.ask("wait find 60s", "found find --json")
    assert not figures["running"]
    return figures
