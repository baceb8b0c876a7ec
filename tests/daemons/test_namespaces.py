"""Tests of whole daemons with a real netfilter box between them that limits, resets, forgets and swallows sessions."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest

from common.addresses import parse_address
from tests.daemons.namespaces import (
    BOX_RIGHT,
    LEFT,
    LEFT_OTHERS,
    LEFT_SECOND,
    LINK,
    RIGHT,
    SECOND_LINK,
    Network,
    missing,
)
from tests.support import PATIENCE, Daemon

pytestmark = pytest.mark.namespace

Status = dict[str, Any]
Start = Callable[..., Daemon]

TARGETS: Final = 10
FIRST: Final = 5000
ADDRESSES: Final = f"{RIGHT}:{FIRST}-{FIRST + TARGETS - 1}"

SHARE: Final = 50
SESSIONS: Final = TARGETS * SHARE
MANY: Final = 5_000

LIMIT: Final = 100
OVER_LIMIT: Final = f"ct state new add @counted {{ ip saddr ct count over {LIMIT} }}"

# A box that tracks strictly: what it does not know, and what does not begin a session, is not its business.
UNKNOWN: Final = "ct state invalid"

# Attempts that one target may make in a second or two of failure, and CPU seconds that the initiator may take in two:
# a target that is tried without a pause makes thousands, and takes all there are.
FEW: Final = 12
LITTLE_CPU: Final = 0.5

# Figures of `ping` that make a silent loss known soon.
PINGING: Final = ("--ping", "--ping-timeout", "2s", "--connect-timeout", "1s")
OFTEN: Final = "ping interval 500ms-1s"


@pytest.fixture
def network() -> Iterator[Network]:
    """Give the three namespaces, with a box that lets everything pass."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Network() as network:
        yield network


@contextmanager
def responding(network: Network) -> Iterator[Daemon]:
    """Start a responder on the right, and give it when it listens."""
    with Daemon("responder", "--listen", ADDRESSES, prefix=network.right.prefix) as responder:
        assert responder.ask("status --json")["listeners"] == TARGETS
        yield responder


@contextmanager
def initiating(network: Network, *options: str) -> Iterator[Daemon]:
    """Start an initiator on the left with one session to each target."""
    with Daemon("initiator", "--target", ADDRESSES, *options, prefix=network.left.prefix) as initiator:
        yield initiator


def until(daemon: Daemon, wanted: Callable[[Status], bool]) -> Status:
    """Return the first status that is as wanted."""
    deadline = monotonic() + PATIENCE
    while True:
        status: Status = daemon.ask("status --json")
        if wanted(status):
            return status
        assert monotonic() < deadline, status
        # The daemon waits, and shows in passing that its prompt is served.
        daemon.send("sleep 20ms")


def holding(count: int) -> Callable[[Status], bool]:
    """Return what asks whether a daemon holds exactly so many sessions."""
    return lambda status: status["held"] == count


def failed(status: Status) -> int:
    """Return how many attempts came to nothing."""
    return sum(status["failures"].values())


def rows(daemon: Daemon, command: str) -> list[Status]:
    """Return the rows of a listing."""
    row = daemon.ask(f"{command} --json", "status --json")
    found = []
    while "longest_pause" not in row:
        found.append(row)
        assert daemon.process.stdout
        row = json.loads(daemon.process.stdout.readline())
    return found


def hosts(responder: Daemon) -> Counter[str]:
    """Return how many sessions the responder has from each address."""
    return Counter(parse_address(row["peer"]).host for row in rows(responder, "list"))


def ping_often(initiator: Daemon) -> None:
    """Let every session be pinged at least once a second."""
    initiator.send(OFTEN)
    assert initiator.process.stdout
    assert initiator.process.stdout.readline().startswith(b"Ping interval")


def hold(initiator: Daemon, responder: Daemon, count: int = SESSIONS) -> Status:
    """Ask for so many sessions, and return the initiator's status when both ends have them and nothing failed."""
    initiator.send(f"set {count}")
    status = until(initiator, holding(count))
    until(responder, holding(count))
    assert status["losses"] == status["failures"] == {}
    return status


def hold_confirmed(initiator: Daemon, responder: Daemon) -> None:
    """Hold the usual number of sessions, each with an answer to a ping."""
    ping_often(initiator)
    hold(initiator, responder)
    until(initiator, lambda status: bool(status["confirmed"] == SESSIONS))


def assert_calm(initiator: Daemon) -> None:
    """Assert that an initiator whose targets all fail tries each only now and then, and costs next to nothing."""
    before, cpu = initiator.ask("status --json"), cpu_seconds(initiator)
    after = initiator.ask("sleep 2s", "status --json")
    assert failed(after) - failed(before) <= FEW * TARGETS
    assert cpu_seconds(initiator) - cpu <= LITTLE_CPU


def cpu_seconds(daemon: Daemon) -> float:
    """Return the CPU time that a daemon has used."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_box_that_lets_pass_shows_both_ends_the_same_sessions(network: Network) -> None:
    with responding(network) as responder, initiating(network) as initiator:
        hold(initiator, responder)
        ours = Counter((row["local"], row["remote"]) for row in rows(initiator, "list"))
        theirs = Counter((row["peer"], row["local"]) for row in rows(responder, "list"))
        assert ours == theirs
        assert len(ours) == SESSIONS == network.tracked()
        assert {parse_address(local).host for local, _remote in ours} == {LEFT}
        assert {row["held"] for row in rows(responder, "listeners")} == {SHARE}
        initiator.send("set 0")
        until(initiator, holding(0))
        assert until(responder, holding(0))["losses"] == {"fin": SESSIONS}


def test_behind_a_translating_box_the_responder_sees_the_address_of_the_box(network: Network) -> None:
    network.masquerade()
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        assert hosts(responder) == {BOX_RIGHT: SESSIONS}
        assert {parse_address(row["local"]).host for row in rows(initiator, "list")} == {LEFT}
        assert initiator.ask("status --json")["losses"] == {}


@pytest.mark.parametrize(
    ("verdict", "reason"), [("drop", "timeout"), ("reject with tcp reset", "refused")], ids=["drop", "reject"]
)
def test_a_session_limit_is_held_exactly_and_left_when_it_is_lifted(
    network: Network, verdict: str, reason: str
) -> None:
    network.rules(f"{OVER_LIMIT} {verdict}")
    with responding(network) as responder, initiating(network, "--connect-timeout", "1s") as initiator:
        initiator.send(f"set {SESSIONS}")
        until(initiator, lambda _: all(failed(target) >= 3 for target in rows(initiator, "details")))
        limited = until(initiator, holding(LIMIT))
        assert limited["established"] == LIMIT
        assert limited["losses"] == {}
        assert set(limited["failures"]) == {reason}
        assert_calm(initiator)
        assert initiator.ask("status --json")["held"] == responder.ask("status --json")["held"] == LIMIT
        assert {target["share"] for target in rows(initiator, "details")} == {SHARE}

        network.rules()
        status = until(initiator, holding(SESSIONS))
        assert status["established"] == SESSIONS
        assert status["pausing_targets"] == 0
        assert set(status["failures"]) == {reason}
        until(responder, holding(SESSIONS))


def test_sessions_that_the_box_resets_are_counted_and_replaced(network: Network) -> None:
    network.rules(f"{UNKNOWN} reject with tcp reset")
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.forget()
        status = until(
            initiator,
            lambda status: (
                sum(status["losses"].values()) >= SESSIONS and status["held"] == status["confirmed"] == SESSIONS
            ),
        )
        assert status["losses"] == {"rst": SESSIONS}
        assert network.tracked() >= SESSIONS


def test_sessions_that_the_box_forgets_are_found_out_and_replaced(network: Network) -> None:
    network.rules(f"{UNKNOWN} drop", "ct state new tcp flags & (syn | ack) != syn drop")
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.forget()
        status = until(
            initiator,
            lambda status: (
                sum(status["losses"].values()) >= SESSIONS and status["held"] == status["confirmed"] == SESSIONS
            ),
        )
        assert status["losses"] == {"timeout": SESSIONS}
        assert status["established"] == 2 * SESSIONS
        assert {target["held"] for target in rows(initiator, "details")} == {SHARE}


def test_sessions_that_the_box_forgets_are_taken_for_held_without_ping(network: Network) -> None:
    network.rules(f"{UNKNOWN} drop")
    with responding(network) as responder, initiating(network, "--ping-timeout", "2s") as initiator:
        hold(initiator, responder)
        network.forget()
        status = initiator.ask("sleep 3s", "status --json")
        assert (status["held"], status["confirmed"], status["losses"]) == (SESSIONS, 0, {})
        ping_often(initiator)
        initiator.send("ping on")
        assert initiator.process.stdout
        assert initiator.process.stdout.readline() == b"Ping enabled\n"
        status = until(initiator, lambda status: bool(status["confirmed"] == SESSIONS))
        assert status["losses"] == {"timeout": SESSIONS}


def test_a_black_hole_costs_every_session_and_leaves_nothing_behind(network: Network) -> None:
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.rules("drop")
        swallowed = until(initiator, lambda status: status["held"] == 0 and failed(status) >= SESSIONS + TARGETS)
        assert swallowed["losses"] == {"timeout": SESSIONS}
        assert swallowed["confirmed"] == 0
        assert_calm(initiator)
        network.rules()
        status = until(initiator, lambda status: bool(status["confirmed"] == SESSIONS))
        assert status["held"] == SESSIONS
        assert status["losses"] == {"timeout": SESSIONS}
        assert set(status["failures"]) == {"timeout"}
        assert status["pausing_targets"] == status["attempts"] == 0


def test_a_black_holed_target_slows_no_other(network: Network) -> None:
    network.rules(f"tcp dport {FIRST} drop")
    with responding(network) as responder, initiating(network, "--connect-timeout", "1h") as initiator:
        initiator.send(f"set {SESSIONS}")
        # None of its attempts has ended when all the others are held.
        status = until(initiator, holding(SESSIONS - SHARE))
        assert (status["attempts"], status["failures"]) == (SHARE, {})
        initiator.send(f"drop {LIMIT} rst")
        assert initiator.process.stdout
        assert initiator.process.stdout.readline() == f"{LIMIT} sessions dropped by RST\n".encode()
        status = until(initiator, lambda status: bool(status["established"] == SESSIONS - SHARE + LIMIT))
        assert (status["held"], status["attempts"], status["failures"]) == (SESSIONS - SHARE, SHARE, {})

        network.rules()
        status = until(initiator, holding(SESSIONS))
        assert (status["attempts"], status["failures"], status["losses"]) == (0, {}, {})
        until(responder, holding(SESSIONS))


def test_a_target_that_times_out_again_and_again_slows_no_other(network: Network) -> None:
    network.rules(f"tcp dport {FIRST} drop")
    with responding(network) as responder, initiating(network, "--connect-timeout", "100ms") as initiator:
        initiator.send(f"set {SESSIONS}")
        until(initiator, lambda status: failed(status) >= SHARE + 3)
        status = until(initiator, holding(SESSIONS - SHARE))
        assert status["failures"].keys() == {"timeout"}
        first, *others = rows(initiator, "details")
        assert (first["held"], sum(first["failures"].values())) == (0, failed(initiator.ask("status --json")))
        assert {(target["held"], target["pausing"]) for target in others} == {(SHARE, False)}
        assert_calm(initiator)
        network.rules()
        assert until(initiator, holding(SESSIONS))["losses"] == {}
        until(responder, holding(SESSIONS))


def test_a_responder_that_is_killed_and_restarted_gets_all_sessions_back(network: Network) -> None:
    with initiating(network) as initiator:
        with responding(network) as killed:
            until(initiator, holding(TARGETS))
            before = failed(initiator.ask("status --json"))
            initiator.send(f"set {MANY}")
            until(initiator, holding(MANY))
            until(killed, holding(MANY))
            killed.signal(signal.SIGKILL)
            killed.process.wait(PATIENCE)
            status = until(initiator, lambda status: status["held"] == 0 and status["pausing_targets"] == TARGETS)
        assert sum(status["losses"].values()) == MANY
        assert set(status["losses"]) <= {"fin", "rst"}
        assert failed(status) - before <= MANY
        assert_calm(initiator)
        with responding(network) as restarted:
            status = until(initiator, holding(MANY))
            until(restarted, holding(MANY))
            assert sum(status["losses"].values()) == MANY
            assert (status["established"], status["pausing_targets"], status["attempts"]) == (2 * MANY, 0, 0)
            assert {target["held"] for target in rows(initiator, "details")} == {MANY // TARGETS}


def test_a_host_that_vanishes_and_comes_back_has_its_share_restored(network: Network) -> None:
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.unplug()
        # Long enough for the box to give up asking for the host's hardware address, and to say so.
        vanished = until(
            initiator,
            lambda status: status["held"] == 0 and failed(status) >= SESSIONS and "unreachable" in status["failures"],
        )
        assert sum(vanished["losses"].values()) == SESSIONS
        assert set(vanished["losses"]) <= {"timeout", "unreachable"}
        assert set(vanished["failures"]) <= {"timeout", "unreachable"}
        assert_calm(initiator)
        network.plug()
        status = until(initiator, lambda status: bool(status["confirmed"] == SESSIONS))
        assert sum(status["losses"].values()) == SESSIONS
        assert status["pausing_targets"] == 0
        assert responder.process.poll() is None


def test_source_addresses_take_equal_shares(network: Network) -> None:
    sources = (LEFT, *LEFT_OTHERS)
    with (
        responding(network) as responder,
        initiating(network, "--source-ip", f"{sources[0]}-{sources[1]}", *sources[2:]) as initiator,
    ):
        count = SESSIONS // len(sources) * len(sources)
        hold(initiator, responder, count)
        assert hosts(responder) == dict.fromkeys(sources, count // len(sources))


def test_an_interface_is_the_only_one_that_sessions_go_through(network: Network) -> None:
    with responding(network) as responder:
        with initiating(network) as initiator:
            hold(initiator, responder)
            assert hosts(responder) == {LEFT: SESSIONS}
        until(responder, holding(0))
        with initiating(network, "--interface", SECOND_LINK) as initiator:
            hold(initiator, responder)
            assert hosts(responder) == {LEFT_SECOND: SESSIONS}


def test_an_interface_and_source_addresses_go_together(network: Network) -> None:
    options = ("--interface", LINK, "--source-ip", LEFT_OTHERS[0], "--source-ip", LEFT_OTHERS[1])
    with responding(network) as responder, initiating(network, *options) as initiator:
        hold(initiator, responder)
        assert hosts(responder) == dict.fromkeys(LEFT_OTHERS[:2], SESSIONS // 2)


def test_an_interface_that_goes_away_is_a_failure_that_passes(network: Network) -> None:
    with responding(network) as responder, initiating(network, "--interface", SECOND_LINK) as initiator:
        hold(initiator, responder)
        network.left.ip("link", "set", SECOND_LINK, "down")
        initiator.send("drop 100 rst")
        assert initiator.process.stdout
        assert initiator.process.stdout.readline() == b"100 sessions dropped by RST\n"
        until(initiator, lambda status: bool(status["pausing_targets"]))
        assert_calm(initiator)
        assert initiator.ask("status --json")["failures"].keys() == {"unreachable"}
        network.left.ip("link", "set", SECOND_LINK, "up")
        network.left.ip("route", "add", "default", "via", "10.201.2.254", "metric", "10")
        until(initiator, holding(SESSIONS))
