"""Tests of the limits of the operating system."""

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.limits import (
    DESCRIPTOR_RESERVE,
    KERNEL_BYTES,
    UNLIMITED,
    USER_BYTES,
    Demand,
    Limit,
    System,
    assess,
    count_ports,
    format_limit,
    render_limits,
)

# A usual host as it comes up, with connection tracking in use.
HOST = System(
    descriptors_soft=20_000,
    descriptors_hard=20_000,
    nr_open=1_048_576,
    file_max=2_000_000,
    files_in_use=1_000,
    epoll_watches=3_000_000,
    port_low=32_768,
    port_high=60_999,
    reserved_ports=0,
    tw_reuse=2,
    somaxconn=4_096,
    max_syn_backlog=2_048,
    syncookies=1,
    conntrack_max=262_144,
    conntrack_count=50,
    conntrack_buckets=65_536,
    memory_available=8 << 30,
    tcp_mem_high=500_000,
    max_orphans=131_072,
    max_tw_buckets=131_072,
)
PORTS = 60_999 - 32_768 + 1

# Which value of System a sysctl sets, and which of its numbers.
SYSCTLS = {
    "fs.nr_open": (("nr_open", 0),),
    "fs.file-max": (("file_max", 0),),
    "fs.epoll.max_user_watches": (("epoll_watches", 0),),
    "net.ipv4.ip_local_port_range": (("port_low", 0), ("port_high", 1)),
    "net.ipv4.tcp_tw_reuse": (("tw_reuse", 0),),
    "net.core.somaxconn": (("somaxconn", 0),),
    "net.ipv4.tcp_max_syn_backlog": (("max_syn_backlog", 0),),
    "net.ipv4.tcp_syncookies": (("syncookies", 0),),
    "net.netfilter.nf_conntrack_max": (("conntrack_max", 0),),
    "net.netfilter.nf_conntrack_buckets": (("conntrack_buckets", 0),),
    "net.ipv4.tcp_mem": (("tcp_mem_high", 2),),
    "net.ipv4.tcp_max_orphans": (("max_orphans", 0),),
    "net.ipv4.tcp_max_tw_buckets": (("max_tw_buckets", 0),),
}

counts = st.integers(0, 5_000_000)
values = st.none() | st.integers(0, 10_000_000)
switches = st.sampled_from([None, 0, 1, 2])
ports = st.none() | st.integers(1, 65_535)
shared = {"sessions": counts, "held": counts}

demands = st.builds(Demand, tuples=st.integers(1, 5_000), **shared) | st.builds(
    Demand, listeners=st.integers(1, 1_000), backlog=st.integers(1, 100_000), **shared
)
systems = st.builds(
    System,
    **dict.fromkeys((field.name for field in fields(System)), values)
    | {"port_low": ports, "port_high": ports, "reserved_ports": st.integers(0, 60_000)}
    | {"tw_reuse": switches, "syncookies": switches},
)


def limits_of(demand: Demand, **changes: int | None) -> dict[str, Limit]:
    return {limit.name: limit for limit in assess(replace(HOST, **changes), demand)}


def initiator(sessions: int, tuples: int = 100, **more: int) -> Demand:
    return Demand(sessions, tuples=tuples, **more)


def responder(sessions: int, **more: int) -> Demand:
    return Demand(sessions, **({"listeners": 4, "backlog": 4_096} | more))


def test_few_sessions_meet_no_limit_on_a_usual_host() -> None:
    assert [limit.name for limit in assess(HOST, initiator(1_000)) if limit.enough is False] == []
    assert [limit.name for limit in assess(HOST, responder(1_000)) if limit.enough is not True] == []


def test_each_role_sees_its_own_limits() -> None:
    opening, accepting = set(limits_of(initiator(10))), set(limits_of(responder(10)))
    assert opening - accepting == {
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_tw_reuse",
        "net.ipv4.tcp_max_tw_buckets",
    }
    assert accepting - opening == {
        "net.core.somaxconn",
        "net.ipv4.tcp_max_syn_backlog",
        "net.ipv4.tcp_syncookies",
    }


@pytest.mark.parametrize(
    ("demand", "name", "needs", "setting"),
    [
        (initiator(50_000), "fs.nr_open", 50_100, "50100"),
        (initiator(50_000), "fs.file-max", 51_100, "52000"),
        (initiator(50_000, held=40_000), "fs.file-max", 50_100, "51000"),
        (initiator(50_000, held=40_000), "fs.epoll.max_user_watches", 50_100, "51000"),
        (responder(50_000, listeners=10, workers=4), "fs.epoll.max_user_watches", 50_140, "51000"),
        (initiator(50_000), "net.netfilter.nf_conntrack_max", 50_050, "51000"),
        (initiator(50_000), "net.netfilter.nf_conntrack_buckets", 12_513, "13000"),
        (initiator(60_000), "net.ipv4.tcp_mem", 60_000, '"30000 40000 60000"'),
        (initiator(50_000), "net.ipv4.tcp_max_orphans", 50_000, "50000"),
        (initiator(50_000), "net.ipv4.tcp_max_tw_buckets", 50_000, "50000"),
        (responder(9), "net.core.somaxconn", 4_096, "4096, then open the listeners anew"),
    ],
)
def test_a_value_is_enough_from_what_is_needed_up(demand: Demand, name: str, needs: int, setting: str) -> None:
    field = SYSCTLS[name][0][0]
    exact = limits_of(demand, **{field: needs})[name]
    assert (exact.value, exact.needs, exact.enough, exact.remedy) == (needs, needs, True, "")
    short = limits_of(demand, **{field: needs - 1})[name]
    assert (short.value, short.needs, short.remedy) == (needs - 1, needs, f"sysctl -w {name}={setting}")
    assert not short.enough


def test_descriptors_within_the_hard_limit_take_a_plain_ulimit() -> None:
    limit = limits_of(initiator(10_000), descriptors_soft=1_024)["ulimit -n"]
    assert (limit.value, limit.needs, limit.enough) == (1_024, 10_000 + DESCRIPTOR_RESERVE, False)
    assert limit.remedy == "ulimit -n 10100"


def test_descriptors_past_the_hard_limit_take_root() -> None:
    limit = limits_of(initiator(100_000))["ulimit -n"]
    assert limit.remedy == (
        "ulimit -n 100100 in a root shell, or LimitNOFILE=100100 in the unit file, before the start"
    )


@pytest.mark.parametrize(
    ("sessions", "enough"),
    [(2 * PORTS, True), (2 * PORTS + 1, None), (4 * PORTS, None), (4 * PORTS + 1, False)],
)
def test_ports_serve_each_pair_and_are_slow_past_half(sessions: int, enough: bool | None) -> None:
    limit = limits_of(initiator(sessions, tuples=4))["net.ipv4.ip_local_port_range"]
    assert (limit.value, limit.needs, limit.enough) == (4 * PORTS, sessions, enough)


def test_ports_are_widened_where_that_is_enough() -> None:
    limit = limits_of(initiator(100_000, tuples=4))["net.ipv4.ip_local_port_range"]
    assert limit.remedy == (
        'sysctl -w net.ipv4.ip_local_port_range="1024 65535"; '
        "or more --target ports or --source-ip addresses: 8 (source, target) pairs"
    )


def test_ports_that_cannot_be_widened_enough_take_more_pairs() -> None:
    limit = limits_of(initiator(1_000_000, tuples=4))["net.ipv4.ip_local_port_range"]
    assert limit.remedy == "more --target ports or --source-ip addresses: 71 (source, target) pairs"
    assert limits_of(initiator(1_000_000, tuples=71))["net.ipv4.ip_local_port_range"].enough is True


def test_reserved_ports_are_not_counted() -> None:
    limit = limits_of(initiator(10, tuples=2), reserved_ports=232)["net.ipv4.ip_local_port_range"]
    assert limit.value == 2 * (PORTS - 232)


@pytest.mark.parametrize(
    ("ranges", "count"),
    [("", 0), ("8080", 0), ("40000", 1), ("1,39998-40001,41000,50000-60000", 3), ("1-65535", 1_001)],
)
def test_count_ports_counts_within_the_range(ranges: str, count: int) -> None:
    assert count_ports(ranges, 40_000, 41_000) == count


@pytest.mark.parametrize(("value", "enough"), [(0, None), (1, True), (2, None)])
def test_tw_reuse_is_advised_and_never_stops_sessions(value: int, enough: bool | None) -> None:
    limit = limits_of(initiator(10), tw_reuse=value)["net.ipv4.tcp_tw_reuse"]
    assert (limit.enough, bool(limit.remedy)) == (enough, not enough)


def test_syn_backlog_counts_only_without_cookies() -> None:
    name = "net.ipv4.tcp_max_syn_backlog"
    assert limits_of(responder(9))[name].enough is True
    limit = limits_of(responder(9), syncookies=0)[name]
    assert (limit.needs, limit.enough, limit.remedy) == (5_462, False, f"sysctl -w {name}=5462")
    assert limits_of(responder(9), syncookies=0, max_syn_backlog=5_462)[name].enough is True


@pytest.mark.parametrize(
    ("syncookies", "sessions", "enough"),
    [(0, 1_000_000, True), (1, 4 * 4_096, True), (1, 4 * 4_096 + 1, None), (2, 1, None), (None, 1, None)],
)
def test_cookies_are_fine_until_a_backlog_can_overflow(
    syncookies: int | None, sessions: int, enough: bool | None
) -> None:
    limit = limits_of(responder(sessions), syncookies=syncookies)["net.ipv4.tcp_syncookies"]
    assert limit.enough is enough


def test_conntrack_is_left_out_where_it_is_not_loaded() -> None:
    assert not [name for name in limits_of(initiator(10), conntrack_max=None) if "conntrack" in name]


def test_conntrack_without_a_maximum_is_enough() -> None:
    limit = limits_of(initiator(300_000), conntrack_max=0)["net.netfilter.nf_conntrack_max"]
    assert (limit.value, limit.enough) == (UNLIMITED, True)


def test_conntrack_that_tracks_nothing_only_warns() -> None:
    name = "net.netfilter.nf_conntrack_max"
    assert limits_of(initiator(300_000))[name].enough is False
    assert limits_of(initiator(300_000), conntrack_count=0)[name].enough is None
    # With more sessions than tracked connections, these sessions are not tracked.
    assert limits_of(initiator(300_000, held=51))[name].enough is None
    assert limits_of(initiator(300_000, held=50))[name].enough is False


@pytest.mark.parametrize("sessions", [100, 200, 2_000])
@pytest.mark.parametrize("held", [200, 1_600])
@pytest.mark.parametrize("tracked", [0, 1])
def test_what_is_needed_is_for_all_sessions_whatever_is_held(sessions: int, held: int, tracked: int) -> None:
    """Beside what others have open and tracked; those held have taken their part of each room, or were not tracked."""
    each = KERNEL_BYTES + USER_BYTES
    before = limits_of(initiator(sessions), files_in_use=900, conntrack_count=50 * tracked, memory_available=10**9)
    after = limits_of(
        initiator(sessions, held=held),
        files_in_use=900 + held,
        conntrack_count=(50 + held) * tracked,
        memory_available=10**9 - held * each,
    )
    assert {name: limit.needs for name, limit in after.items()} == {name: limit.needs for name, limit in before.items()}
    assert after["MemAvailable"].value == before["MemAvailable"].value


def test_memory_counts_what_is_still_to_be_opened() -> None:
    limit = limits_of(initiator(2_000_000))["MemAvailable"]
    assert limit.value == 8 << 20
    assert limit.needs == -(-2_000_000 * 5_300 // 1024)
    assert limit.enough is False
    assert limit.remedy == "free memory, or use more hosts: about 1620742 sessions fit"
    assert limits_of(initiator(2_000_000, held=500_000))["MemAvailable"].enough is True


def test_memory_is_that_of_the_kernel_and_what_the_daemon_says_it_takes() -> None:
    limit = limits_of(initiator(1_000, user_bytes=36_000))["MemAvailable"]
    assert limit.needs == -(-1_000 * 41_000 // 1024)
    assert limit.about == "memory in kB: 41.0 kB for each end of a session"


def test_what_cannot_be_read_is_unknown_and_shown() -> None:
    limits = assess(System(), initiator(10)) + assess(System(), responder(10))
    assert {(limit.value, limit.enough, limit.remedy) for limit in limits} == {(None, None, "")}
    lines = list(render_limits(limits))
    assert len(lines) == 1 + len(limits) + 1
    assert lines[-1].startswith("no limit is too low; not readable: ulimit -n, fs.nr_open, ")


@given(systems, demands)
def test_a_remedy_is_there_exactly_where_a_read_value_is_not_enough(system: System, demand: Demand) -> None:
    for limit in assess(system, demand):
        assert bool(limit.remedy) == (limit.value is not None and limit.enough is not True)
        if limit.enough is False:
            assert limit.value is not None
            assert limit.needs is not None
            assert limit.value < limit.needs


@given(systems, demands, counts)
def test_more_sessions_never_need_less(system: System, demand: Demand, more: int) -> None:
    larger = replace(demand, sessions=demand.sessions + more)
    for few, many in zip(assess(system, demand), assess(system, larger), strict=True):
        assert few.name == many.name
        assert (few.needs or 0) <= (many.needs or 0)
        assert few.enough or not many.enough


@given(systems, demands)
def test_a_sysctl_run_as_told_makes_its_value_enough(system: System, demand: Demand) -> None:
    for limit in assess(system, demand):
        found = re.search(r'sysctl -w ([\w.-]+)=(?:"([\d ]+)"|(\d+))', limit.remedy)
        if found is None:
            continue
        assert found[1] == limit.name
        numbers = [int(word) for word in (found[2] or found[3]).split()]
        changes = {field: numbers[position] for field, position in SYSCTLS[limit.name]}
        after = {row.name: row for row in assess(replace(system, **changes), demand)}[limit.name]
        # Cookies that were always on stay on where a backlog can overflow.
        assert after.enough is True or (limit.name == "net.ipv4.tcp_syncookies" and limit.value == 2)


@given(systems, demands)
def test_pairs_as_told_are_enough(system: System, demand: Demand) -> None:
    for limit in assess(system, demand):
        if (found := re.search(r"(\d+) \(source", limit.remedy)) and limit.value:
            wider = {row.name: row for row in assess(system, replace(demand, tuples=int(found[1])))}
            assert wider[limit.name].enough is True


@given(systems, demands)
def test_the_table_has_a_line_for_each_limit_and_its_remedy(system: System, demand: Demand) -> None:
    limits = assess(system, demand)
    header, *lines, verdict = render_limits(limits)
    assert header.split()[:3] == ["limit", "now", "needed"]
    assert len(lines) == len(limits) + sum(bool(limit.remedy) for limit in limits)
    for limit in limits:
        row = lines.pop(0)
        assert row.startswith(limit.name)
        assert row.endswith(f"  {limit.about}")
        assert header.index("what it limits") == len(row) - len(limit.about)
        if limit.remedy:
            assert lines.pop(0) == f"    {limit.remedy}"
        assert (limit.name in verdict) == (limit.enough is not True)
    assert verdict.startswith("too low: ") == any(limit.enough is False for limit in limits)


def test_the_table_reads_like_this() -> None:
    limits = [
        Limit("fs.file-max", "open files", UNLIMITED, 1_100, True, ""),
        Limit("ulimit -n", "descriptors", 1_024, 1_100, False, "ulimit -n 1100"),
        Limit("net.core.somaxconn", "backlog", None, 4_096, None, ""),
        Limit("net.ipv4.tcp_tw_reuse", "ports", 2, 1, None, "sysctl -w net.ipv4.tcp_tw_reuse=1"),
    ]
    assert list(render_limits(limits)) == [
        "limit                        now  needed           what it limits",
        "fs.file-max            unlimited    1100  ok       open files",
        "ulimit -n                   1024    1100  too low  descriptors",
        "    ulimit -n 1100",
        "net.core.somaxconn             -    4096  unknown  backlog",
        "net.ipv4.tcp_tw_reuse          2       1  check    ports",
        "    sysctl -w net.ipv4.tcp_tw_reuse=1",
        "too low: ulimit -n; worth a look: net.ipv4.tcp_tw_reuse; not readable: net.core.somaxconn",
    ]


def test_a_table_without_anything_to_raise_says_so() -> None:
    *_, verdict = render_limits(assess(HOST, responder(1_000)))
    assert verdict == "no limit is too low"


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0, "0"), (20_000, "20000"), (UNLIMITED, "unlimited")])
def test_format_limit(value: int | None, text: str) -> None:
    assert format_limit(value) == text
