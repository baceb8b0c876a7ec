"""The cluster that a fleet is in, and the keepers in it by name."""

import asyncio
import io
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import RayError

from common.errors import SessionerError, UsageError
from common.fleet.actors import actor_at
from common.fleet.calls import ActorCaller, result_of
from common.fleet.keeper import FleetSettings
from common.logs import ROOT
from common.workers.serving import Birth, Logged

# Seconds that the head of a cluster may take to take a connection, and a keeper to answer before it is taken for lost.
_REACH: Final = 5.0
_SILENCE: Final = 10.0
_BEGIN: Final = 30.0


# What lets through the lines that are no news and no warning of Ray's native part.
_FILTER: Final = r"""
import re, sys
sys.stdout.writelines(line for line in sys.stdin if not re.match(r"\[[-\d :,]+ [IW] \d+ \d+\] ", line))
"""


class _Nowhere(io.TextIOBase):
    """Takes what is printed, and does nothing with it."""

    def write(self, text: str) -> int:
        """Take it."""
        return len(text)


def connect(address: str, daemon: str) -> None:
    """Join the cluster whose head is at HOST:PORT; blocks for some seconds, and raises SessionerError."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH).close()
    except OSError as failure:
        reason = failure.strerror or "it does not answer"
        raise SessionerError(f"there is no Ray cluster at {address}: {reason}; `ray start --head` begins one") from None
    if not _is_node():
        raise UsageError(f"no node of Ray runs on this host; `ray start --address={address}` makes it one")
    # Ray prints what happens to its nodes, wherever the prompt is; nothing else here prints.
    sys.stdout = _Nowhere()
    try:
        with _without_warnings():
            ray.init(
                address=address,
                namespace=f"sessioner-{daemon}",
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
    except (RayError, RuntimeError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SessionerError(f"Ray cannot be joined at {address}, does this host have its token? {reason}") from None


async def begin_keeper(name: str, daemon: str, settings: Any, per_node: int) -> ActorCaller:
    """Begin a keeper on this node, and return what calls it; raises SessionerError."""
    if _find(name) is not None:
        raise UsageError(f"fleet {name} is there already: --attach {name} goes on with it, --name NAME begins another")
    node = ray.get_runtime_context().get_node_id()
    options = {"name": _actor_name(name), "lifetime": "detached"}
    actor = actor_at(node, **options).remote(f"{daemon}.fleet", "KEEPER", None)
    birth = Birth(FleetSettings(settings, per_node), logging.getLogger(ROOT).level)
    try:
        refusal = await asyncio.wait_for(result_of(actor.begin.remote(birth)), _BEGIN)
    except (RayError, TimeoutError) as error:
        ray.kill(actor)
        reason = str(error).partition("\n")[0] or "it takes too long"
        raise SessionerError(f"the fleet's keeper cannot be begun: {reason}") from None
    if refusal:
        ray.kill(actor)
        raise SessionerError(refusal)
    return ActorCaller(actor, _say, _SILENCE)


async def find_keeper(name: str, daemon: str) -> ActorCaller:
    """Return what calls the keeper of a name; raises UsageError."""
    actor = _find(name)
    if actor is None:
        raise UsageError(f"there is no {daemon} fleet {name} in this cluster; without --attach one is begun")
    return ActorCaller(actor, _say, _SILENCE)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep from the standard error what Ray's native part warns of as it begins, such as that there is no internet.

    It knows no level yet that it could be told. A process apart lets the errors through, which may be the last words of
    this one: Ray ends it where it finds its own state impossible.
    """
    errors = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=errors, start_new_session=True) as apart:  # noqa: S603 - our own
        assert apart.stdin
        os.dup2(apart.stdin.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(errors, 2)
            os.close(errors)


def _is_node() -> bool:
    """Return whether a node of Ray runs here: without one, Ray ends the process that wants to join."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if path.read_bytes().partition(b"\0")[0].endswith(b"/raylet"):
                return True
    return False


def _find(name: str) -> Any | None:
    try:
        return ray.get_actor(_actor_name(name))
    except ValueError:
        return None


def _actor_name(name: str) -> str:
    return f"sessioner-{name}"


def _say(message: object) -> None:
    """Log what the keeper, or an engine behind it, says."""
    if isinstance(message, Logged):
        logging.getLogger(message.name).log(message.level, "%s", message.text)
