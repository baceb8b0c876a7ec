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
    BOX_LEFT_SECOND,
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

TARGETS: Final = 10
FIRST: Final = 5000
ADDRESSES: Final = f"{RIGHT}:{FIRST}-{FIRST + TARGETS - 1}"

SHARE: Final = 50
SESSIONS: Final = TARGETS * SHARE
MANY: Final = 5_000

LIMIT: Final = 100
OVER_LIMIT: Final = f"ct state new add @counted {{ ip saddr ct count over {LIMIT} }}"

# What belongs to no session that the box knows, and does not begin one either.
UNKNOWN: Final = "ct state invalid"

# Attempts that one target may make in a second of failure, and CPU seconds that the initiator may take meanwhile: one
# that is tried without a pause makes thousands, and takes all there are.
FEW: Final = 8
LITTLE_CPU: Final = 0.25

# The part of the places in TIME_WAIT that is kept for sessions the kernel has not counted yet.
UNSEEN: Final = 0.05

# Orphans of others that leave enough room for ours.
FEW_ORPHANS: Final = 100

# Options that make a silent loss known soon.
PINGING: Final = ("--ping", "--ping-timeout", "2s", "--connect-timeout", "1s")


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


def holding(count: int) -> Callable[[Status], bool]:
    """Return what asks whether a daemon holds exactly so many sessions."""
    return lambda status: bool(status["held"] == count)


def lost(status: Status) -> int:
    """Return how many sessions ended unasked."""
    return sum(status["losses"].values())


def failed(status: Status) -> int:
    """Return how many attempts came to nothing."""
    return sum(status["failures"].values())


def tell(daemon: Daemon, command: str) -> str:
    """Return the one line that a command answers with."""
    daemon.send(command)
    return daemon.line()


def rows(daemon: Daemon, command: str) -> list[Status]:
    """Return the rows of a listing."""
    row: Status = daemon.ask(f"{command} --json", "status --json")
    found = []
    while "longest_pause" not in row:
        found.append(row)
        row = json.loads(daemon.line())
    return found


def hosts(responder: Daemon) -> Counter[str]:
    """Return how many sessions the responder has from each address."""
    return Counter(parse_address(row["peer"]).host for row in rows(responder, "list"))


def ping_often(initiator: Daemon) -> None:
    """Let every session be pinged at least once a second."""
    assert tell(initiator, "ping interval 500ms-1s").startswith("Ping interval")


def hold(initiator: Daemon, responder: Daemon, count: int = SESSIONS) -> Status:
    """Ask for so many sessions, and return the initiator's status when both ends have them and nothing failed."""
    initiator.send(f"set {count}")
    status: Status = initiator.until(holding(count))
    responder.until(holding(count))
    assert status["losses"] == status["failures"] == {}
    return status


def hold_confirmed(initiator: Daemon, responder: Daemon) -> None:
    """Hold the usual number of sessions, each with an answer to a ping."""
    ping_often(initiator)
    hold(initiator, responder)
    initiator.until(all_confirmed)


def all_confirmed(status: Status) -> bool:
    """Return whether the usual number of sessions is held, each with an answer to a ping."""
    return bool(status["held"] == status["confirmed"] == SESSIONS)


def tried_in_vain(initiator: Daemon, held: int, targets: int = TARGETS) -> Callable[[Status], bool]:
    """Return what asks whether each of the first targets has failed some times, and is tried by single attempts now.

    So many sessions are held meanwhile, over all targets.
    """

    def check(status: Status) -> bool:
        if status["held"] != held or status["attempts"] > targets:
            return False
        return all(failed(target) >= 3 for target in rows(initiator, "details")[:targets])

    return check


def assert_calm(initiator: Daemon) -> None:
    """Assert that an initiator whose targets all fail tries each only now and then, and costs next to nothing."""
    before, cpu = initiator.ask("status --json"), cpu_seconds(initiator)
    after = initiator.ask("sleep 1s", "status --json")
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
        initiator.until(holding(0))
        assert responder.until(holding(0))["losses"] == {"fin": SESSIONS}


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
        limited = initiator.until(tried_in_vain(initiator, LIMIT))
        assert (limited["established"], limited["losses"]) == (LIMIT, {})
        assert set(limited["failures"]) == {reason}
        assert_calm(initiator)
        assert initiator.ask("status --json")["held"] == responder.ask("status --json")["held"] == LIMIT
        assert {target["share"] for target in rows(initiator, "details")} == {SHARE}

        network.rules()
        status = initiator.until(holding(SESSIONS))
        assert status["established"] == SESSIONS
        assert status["pausing_targets"] == 0
        assert set(status["failures"]) == {reason}
        responder.until(holding(SESSIONS))


def test_sessions_that_the_box_resets_are_counted_and_replaced(network: Network) -> None:
    network.rules(f"{UNKNOWN} reject with tcp reset")
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.forget()
        status = initiator.until(lambda status: lost(status) >= SESSIONS and all_confirmed(status))
        assert status["losses"] == {"rst": SESSIONS}
        assert network.tracked() >= SESSIONS


def test_sessions_that_the_box_forgets_are_found_out_and_replaced(network: Network) -> None:
    network.rules(f"{UNKNOWN} drop", "ct state new tcp flags & (syn | ack) != syn drop")
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.forget()
        status = initiator.until(lambda status: lost(status) >= SESSIONS and all_confirmed(status))
        assert status["losses"] == {"timeout": SESSIONS}
        assert status["established"] == 2 * SESSIONS
        assert {target["held"] for target in rows(initiator, "details")} == {SHARE}


def test_sessions_that_the_box_forgets_are_taken_for_held_without_ping(network: Network) -> None:
    network.rules(f"{UNKNOWN} drop")
    with responding(network) as responder, initiating(network, "--ping-timeout", "2s") as initiator:
        hold(initiator, responder)
        network.forget()
        status = initiator.ask("sleep 1s", "status --json")
        assert (status["held"], status["confirmed"], status["losses"]) == (SESSIONS, 0, {})
        ping_often(initiator)
        assert tell(initiator, "ping on") == "Ping enabled"
        status = initiator.until(all_confirmed)
        assert status["losses"] == {"timeout": SESSIONS}


def test_a_black_hole_costs_every_session_and_leaves_nothing_behind(network: Network) -> None:
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.rules("drop")
        swallowed = initiator.until(tried_in_vain(initiator, 0))
        assert (swallowed["losses"], swallowed["confirmed"]) == ({"timeout": SESSIONS}, 0)
        assert_calm(initiator)
        network.rules()
        status = initiator.until(all_confirmed)
        assert status["losses"] == {"timeout": SESSIONS}
        assert set(status["failures"]) == {"timeout"}
        assert status["pausing_targets"] == status["attempts"] == 0


def test_all_sessions_can_be_given_up_and_asked_for_again_in_a_black_hole(network: Network) -> None:
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        network.rules("drop")
        initiator.send("set 0")
        status = initiator.until(holding(0))
        assert (status["attempts"], status["losses"]) == (0, {})
        initiator.send(f"set {SESSIONS}")
        initiator.until(tried_in_vain(initiator, 0))
        initiator.send("set 0")
        status = initiator.until(lambda status: bool(status["attempts"] == 0))
        assert_calm(initiator)
        assert initiator.ask("status --json")["failures"] == status["failures"]
        network.rules()
        initiator.send(f"set {SESSIONS}")
        assert initiator.until(all_confirmed)["losses"] == {}


def test_a_black_holed_target_slows_no_other(network: Network) -> None:
    network.rules(f"tcp dport {FIRST} drop")
    with responding(network) as responder, initiating(network, "--connect-timeout", "1h") as initiator:
        initiator.send(f"set {SESSIONS}")
        # None of its attempts has ended when all the others are held.
        status = initiator.until(holding(SESSIONS - SHARE))
        assert (status["attempts"], status["failures"]) == (SHARE, {})
        assert tell(initiator, f"drop {LIMIT} rst") == f"{LIMIT} sessions dropped by RST"
        status = initiator.until(lambda status: bool(status["established"] == SESSIONS - SHARE + LIMIT))
        assert (status["held"], status["attempts"], status["failures"]) == (SESSIONS - SHARE, SHARE, {})

        network.rules()
        status = initiator.until(holding(SESSIONS))
        assert (status["attempts"], status["failures"], status["losses"]) == (0, {}, {})
        responder.until(holding(SESSIONS))


def test_a_target_that_times_out_again_and_again_slows_no_other(network: Network) -> None:
    network.rules(f"tcp dport {FIRST} drop")
    with responding(network) as responder, initiating(network, "--connect-timeout", "300ms") as initiator:
        initiator.send(f"set {SESSIONS}")
        initiator.until(tried_in_vain(initiator, SESSIONS - SHARE, 1))
        first, *others = rows(initiator, "details")
        assert first["held"] == 0
        assert first["failures"].keys() == {"timeout"}
        assert not any(target["failures"] for target in others)
        assert {(target["held"], target["pausing"]) for target in others} == {(SHARE, False)}
        assert_calm(initiator)
        network.rules()
        assert initiator.until(holding(SESSIONS))["losses"] == {}
        responder.until(holding(SESSIONS))


def test_attempts_are_given_up_in_time_however_many_they_are(network: Network) -> None:
    with responding(network) as responder, initiating(network, "--connect-timeout", "1s") as initiator:
        hold(initiator, responder, MANY)
        network.rules("drop")
        assert tell(initiator, f"drop {MANY} rst") == f"{MANY} sessions dropped by RST"
        initiator.until(lambda status: bool(status["attempts"] + failed(status) >= MANY))
        # Three times as long as an attempt may take.
        status = initiator.ask("sleep 3s", "status --json")
        assert status["failures"].keys() == {"timeout"}
        assert failed(status) >= MANY
        assert status["attempts"] <= TARGETS


def test_a_smaller_number_ends_attempts_before_sessions(network: Network) -> None:
    with responding(network) as responder, initiating(network, "--connect-timeout", "1h") as initiator:
        hold(initiator, responder)
        network.rules("ct state new drop")
        initiator.send(f"set {2 * SESSIONS}")
        initiator.until(lambda status: bool(status["attempts"] == SESSIONS))
        initiator.send(f"set {SESSIONS}")
        status = initiator.until(lambda status: bool(status["attempts"] == 0 or status["held"] != SESSIONS))
        assert (status["held"], status["attempts"]) == (SESSIONS, 0)
        assert responder.ask("status --json")["losses"] == {}


def test_ports_that_run_out_are_a_state_that_passes(network: Network) -> None:
    network.left.sysctl("ipv4/ip_local_port_range", f"20000 {20000 + SHARE - 1}")
    with responding(network) as responder, initiating(network) as initiator:
        hold(initiator, responder)
        initiator.send(f"set {2 * SESSIONS}")
        status = initiator.until(tried_in_vain(initiator, SESSIONS))
        assert (status["exhausted"], status["targets_without_ports"]) == (["ports"], TARGETS)
        assert status["failures"].keys() == {"exhausted"}
        assert_calm(initiator)
        network.left.sysctl("ipv4/ip_local_port_range", "20000 30000")
        status = initiator.until(holding(2 * SESSIONS))
        assert (status["exhausted"], status["targets_without_ports"], status["losses"]) == ([], 0, {})
        responder.until(holding(2 * SESSIONS))
        _output, errors, _code = initiator.end()
        assert errors.count("Out of ports") == errors.count("There are ports again") == 1


def test_a_responder_that_is_killed_and_restarted_gets_all_sessions_back(network: Network) -> None:
    with initiating(network) as initiator:
        with responding(network) as killed:
            initiator.until(holding(TARGETS))
            before = failed(initiator.ask("status --json"))
            initiator.send(f"set {MANY}")
            initiator.until(holding(MANY))
            killed.until(holding(MANY))
            killed.signal(signal.SIGKILL)
            killed.process.wait(PATIENCE)
            status = initiator.until(lambda status: bool(status["held"] == 0 and status["pausing_targets"] == TARGETS))
        # The kernel ends a dead process's sessions before its listeners, whose queues may take some more meanwhile.
        assert MANY <= lost(status) == status["established"] <= 2 * MANY
        assert set(status["losses"]) <= {"fin", "rst"}
        assert failed(status) - before <= MANY
        assert_calm(initiator)
        with responding(network) as restarted:
            restored = initiator.until(holding(MANY))
            restarted.until(holding(MANY))
            assert restored["losses"] == status["losses"]
            assert restored["established"] == lost(restored) + MANY
            assert (restored["pausing_targets"], restored["attempts"]) == (0, 0)
            assert {target["held"] for target in rows(initiator, "details")} == {MANY // TARGETS}


def test_a_host_that_vanishes_and_comes_back_has_its_share_restored(network: Network) -> None:
    with responding(network) as responder, initiating(network, *PINGING) as initiator:
        hold_confirmed(initiator, responder)
        # The box soon gives up asking for the hardware address of the host, and says so each time.
        network.box.sysctl("ipv4/neigh/right/retrans_time_ms", 100)
        network.box.sysctl("ipv4/icmp_ratelimit", 0)
        network.unplug()
        vanished = initiator.until(tried_in_vain(initiator, 0))
        assert lost(vanished) == SESSIONS
        assert set(vanished["losses"]) <= {"timeout", "unreachable"}
        assert "unreachable" in vanished["failures"].keys() <= {"timeout", "unreachable"}
        assert_calm(initiator)
        network.plug()
        status = initiator.until(all_confirmed)
        assert lost(status) == SESSIONS
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
        responder.until(holding(0))
        with initiating(network, "--interface", SECOND_LINK) as initiator:
            hold(initiator, responder)
            assert hosts(responder) == {LEFT_SECOND: SESSIONS}


def test_an_interface_and_source_addresses_go_together(network: Network) -> None:
    options = ("--interface", LINK, "--source-ip", LEFT_OTHERS[0], "--source-ip", LEFT_OTHERS[1])
    with responding(network) as responder, initiating(network, *options) as initiator:
        hold(initiator, responder)
        assert hosts(responder) == dict.fromkeys(LEFT_OTHERS[:2], SESSIONS // 2)


@pytest.mark.parametrize("name", [SECOND_LINK, "elsewhere"], ids=["down", "gone"])
def test_an_interface_that_goes_away_is_a_failure_that_passes(network: Network, name: str) -> None:
    with responding(network) as responder, initiating(network, "--interface", SECOND_LINK) as initiator:
        hold(initiator, responder)
        network.left.ip("link", "set", SECOND_LINK, "down", "name", name)
        assert tell(initiator, f"drop {SESSIONS} rst") == f"{SESSIONS} sessions dropped by RST"
        status = initiator.until(tried_in_vain(initiator, 0))
        assert status["failures"].keys() == {"unreachable"}
        assert status["exhausted"] == []
        assert_calm(initiator)
        network.left.ip("link", "set", name, "name", SECOND_LINK, "up")
        network.left.ip("route", "add", "default", "via", BOX_LEFT_SECOND, "metric", "10")
        initiator.until(holding(SESSIONS))


@pytest.mark.parametrize(
    ("option", "value"), [("--source-ip", RIGHT), ("--source-ip", f"{LEFT}-5"), ("--interface", "nosuch")]
)
def test_what_the_host_does_not_have_is_refused_at_once(network: Network, option: str, value: str) -> None:
    with initiating(network, option, value) as initiator:
        output, errors, code = initiator.end("sleep 500ms", "status")
        assert (output, code) == ("", 1)
        line, rest = errors.split("\n", 1)
        assert not rest
        assert line.startswith("sessioner_initiator: ")
        assert {RIGHT: RIGHT, f"{LEFT}-5": "10.201.1.5", "nosuch": "nosuch"}[value] in line


def test_a_source_address_that_is_taken_away_is_no_shortage_of_ports(network: Network) -> None:
    other = LEFT_OTHERS[0]
    with responding(network) as responder, initiating(network, "--source-ip", other) as initiator:
        hold(initiator, responder)
        network.left.ip("address", "delete", f"{other}/24", "dev", LINK)
        assert tell(initiator, f"drop {SESSIONS} rst") == f"{SESSIONS} sessions dropped by RST"
        status = initiator.until(tried_in_vain(initiator, 0))
        assert_calm(initiator)
        network.left.ip("address", "add", f"{other}/24", "dev", LINK)
        initiator.until(holding(SESSIONS))
        assert hosts(responder)[other] >= SESSIONS
        assert status["exhausted"] == []
        assert "exhausted" not in status["failures"]


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_what_the_kernel_keeps_of_closed_sessions_does_not_overflow(network: Network, workers: int) -> None:
    """Closing is slowed down where TIME_WAIT is nearly full, and goes on as soon as there is room."""
    most, slowly = limit_time_wait(network, 6000)
    with responding(network), initiating(network, "--workers", str(workers)) as initiator:
        initiator.ask("set 7000", "wait 30s", "status --json")
        begun = monotonic()
        initiator.send("set 0")
        until_closed(network, most - UNSEEN * 6000)
        initiator.ask("sleep 3s", "status --json")
        _, time_wait = closed(network)
        assert time_wait <= most + slowly * (monotonic() - begun)
        assert overflows(network) == 0
        network.left.sysctl("ipv4/tcp_max_tw_buckets", 20_000)
        assert initiator.ask("wait 30s", "status --json")["held"] == 0
        assert overflows(network) == 0


def test_what_is_half_closed_has_its_place_in_time_wait(network: Network) -> None:
    """Where the peer's FIN is missing, no more are half-closed at once than there is room kept for."""
    limit_time_wait(network, 1000)
    with responding(network) as responder, initiating(network) as initiator:
        initiator.ask("set 1200", "wait 30s", "query 10", "status --json")
        with stopped(responder):
            initiator.send("set 0")
            for count in range(0, 200, 50):
                until_closed(network, count)
                held = initiator.ask("status --json")["held"]
                assert 1200 - held - sum(closed(network)) <= UNSEEN * 1000
        assert overflows(network) == 0


@contextmanager
def stopped(daemon: Daemon) -> Iterator[None]:
    """Let a daemon do nothing in this block; its kernel goes on acknowledging what comes."""
    daemon.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.signal(signal.SIGCONT)


def limit_time_wait(network: Network, limit: int) -> tuple[float, float]:
    """Let so many sessions at once be in TIME_WAIT on the left, and none leave it early.

    Returns how many are to be there at most at full speed, and how many more in each second after that. Orphans are
    counted for the whole host, and few are to be had beside ours, or there is no room that could be used up: those that
    other tests have left are gone after two minutes.
    """
    end = monotonic() + 2 * PATIENCE
    while closed(network)[0] > FEW_ORPHANS:
        if monotonic() > end:
            pytest.skip("there are many orphans on this host")
    network.left.sysctl("ipv4/tcp_max_tw_buckets", limit)
    network.left.sysctl("ipv4/tcp_rfc1337", 1)
    return 0.9 * limit, 0.05 * limit / 60


def until_closed(network: Network, count: float) -> None:
    """Return when the kernel on the left keeps more than so many sessions that are closed."""
    end = monotonic() + PATIENCE
    while sum(closed(network)) <= count:
        assert monotonic() < end, f"the kernel keeps {closed(network)}"


def closed(network: Network) -> tuple[int, int]:
    """Return how many sessions are orphans, of the whole host, and how many on the left are in TIME_WAIT."""
    fields = network.left.run("grep", "^TCP:", "/proc/net/sockstat").split()
    return int(fields[fields.index("orphan") + 1]), int(fields[fields.index("tw") + 1])


def overflows(network: Network) -> int:
    """Return how many sessions on the left have found no room in TIME_WAIT."""
    names, values = (
        line.split() for line in network.left.run("cat", "/proc/net/netstat").splitlines() if line.startswith("TcpExt")
    )
    return int(values[names.index("TCPTimeWaitOverflow")])
