"""Limits of the operating system, set against what a number of sessions needs."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

# What a limit is that is not there: the largest value that fs.file-max takes, and RLIM_INFINITY.
UNLIMITED: Final = 2**63 - 1

# Descriptors of a process beside its sessions: standard streams, epoll, log, resolver, listeners to come.
DESCRIPTOR_RESERVE: Final = 100

# Measured: a pair of idle sessions over loopback takes about 10 kB of kernel memory, so one end takes half of
# that (socket, inode, file, directory entry, epoll item), and the daemon's own record of it 0.3 kB.
KERNEL_BYTES: Final = 5_000
USER_BYTES: Final = 300

# Measured: an idle session has nothing queued and counts nothing in tcp_mem; one with a small unread or
# unacknowledged message counts one page, as memory is accounted to a socket in whole pages.
PAGES_WITH_DATA: Final = 1

# From the usual lower bound of unprivileged ports (ip_unprivileged_port_start) to the highest port.
WIDEST_PORTS: Final = (1024, 65535)

# Measured: past half of the port range to one (address, port), each connect costs 0.5-0.9 ms of kernel time.
FAST_PORT_SHARE: Final = 2

# Kernel before 5.15 set nf_conntrack_max to 4 x buckets; chains longer than that slow every packet down.
ENTRIES_PER_BUCKET: Final = 4

# Kernel, tcp_conn_request: without cookies the last quarter of tcp_max_syn_backlog is kept for known peers.
SYN_QUEUE_PARTS: Final = (4, 3)

# Kernel, ip-sysctl: 1 reuses ports in TIME_WAIT to every address, 2 (the default) on loopback alone.
REUSE_EVERYWHERE: Final = 1

# Kernel, ip-sysctl: 1 sends cookies once a listener's queue is full, 2 always.
COOKIES_ALWAYS: Final = 2

# Counts that others change meanwhile (open files, tracked connections) are raised to the next such step.
_STEP: Final = 1000


@dataclass(frozen=True, slots=True)
class Demand:
    """What the sessions would need: `sessions` in all, of which `held` are there already.

    `tuples` counts the combinations of (source ip, target ip, target port) and is 0 on the responder;
    `listeners` and the `backlog` of each are 0 on the initiator. The sessions are divided among `workers` processes,
    each of which has all listeners; `kept` are the sockets of listeners that the console of these workers has. A
    session takes `user_bytes` of the daemon's own memory.
    """

    sessions: int
    tuples: int = 0
    listeners: int = 0
    backlog: int = 0
    held: int = 0
    workers: int = 1
    kept: int = 0
    user_bytes: int = USER_BYTES

    @property
    def missing(self) -> int:
        """How many sessions are still to be opened."""
        return max(0, self.sessions - self.held)

    @property
    def descriptors(self) -> int:
        """How many descriptors the process needs, or the one of them that needs most."""
        return max(_divide_up(self.sessions, self.workers) + self.listeners, self.kept) + DESCRIPTOR_RESERVE


@dataclass(frozen=True, slots=True)
class System:
    """The operating system's values as they were read; None for one that cannot be read."""

    descriptors_soft: int | None = None
    descriptors_hard: int | None = None
    nr_open: int | None = None
    file_max: int | None = None
    files_in_use: int | None = None
    epoll_watches: int | None = None
    port_low: int | None = None
    port_high: int | None = None
    reserved_ports: int | None = None  # how many of the range are reserved
    tw_reuse: int | None = None
    somaxconn: int | None = None
    max_syn_backlog: int | None = None
    syncookies: int | None = None
    conntrack_max: int | None = None  # None as well when connection tracking is not loaded
    conntrack_count: int | None = None
    conntrack_buckets: int | None = None
    memory_available: int | None = None  # bytes
    tcp_mem_high: int | None = None  # pages
    max_orphans: int | None = None
    max_tw_buckets: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: its value now, what the sessions need, and the command that raises it when that is more.

    `enough` is False where the sessions would not fit, and None where the value cannot be read or bites only
    in the case that `about` names. Only what is not enough has a `remedy`.
    """

    name: str
    about: str
    value: int | None
    needs: int | None
    enough: bool | None
    remedy: str


def assess(system: System, demand: Demand) -> list[Limit]:
    """Return every limit that the sessions would meet; those of the other daemon's role are left out."""
    return [
        *_descriptors(system, demand),
        *_ports(system, demand),
        *_queues(system, demand),
        *_conntrack(system, demand),
        *_memory(system, demand),
        *_closing(system, demand),
    ]


def render_limits(limits: Iterable[Limit]) -> Iterator[str]:
    """Yield a table for people: a line for each limit, its remedy indented below it, a verdict at the end."""
    limits = list(limits)
    rows = [("limit", "now", "needed", "", "what it limits")]
    rows += [
        (limit.name, format_limit(limit.value), format_limit(limit.needs), _state(limit), limit.about)
        for limit in limits
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, remedy in zip(rows, ["", *(limit.remedy for limit in limits)], strict=True):
        name, now, needed, state, about = row
        yield f"{name:{widths[0]}}  {now:>{widths[1]}}  {needed:>{widths[2]}}  {state:{widths[3]}}  {about}"
        if remedy:
            yield f"    {remedy}"
    yield _verdict(limits)


def format_limit(value: int | None) -> str:
    """Return a limit's value for people: a plain number, `unlimited`, or `-` for none."""
    if value is None:
        return "-"
    return "unlimited" if value >= UNLIMITED else str(value)


def count_ports(ranges: str, low: int, high: int) -> int:
    """Return how many ports from `low` to `high` are in `ranges`, written like `8080,9000-9009`."""
    return sum(
        max(0, min(high, int(last or first)) - max(low, int(first)) + 1)
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", ranges)
    )


def _descriptors(system: System, demand: Demand) -> Iterator[Limit]:
    needs = demand.descriptors
    yield _at_least(
        "ulimit -n",
        "descriptors of the process",
        system.descriptors_soft,
        needs,
        _descriptor_remedy(system, demand),
    )
    yield _at_least(
        "fs.nr_open",
        "what ulimit -n can be raised to",
        system.nr_open,
        needs,
        f"sysctl -w fs.nr_open={needs}",
    )
    # man proc(5): a process with CAP_SYS_ADMIN may pass file-max; a daemon need not have it.
    files = max(0, (system.files_in_use or 0) - demand.held) + demand.sessions + DESCRIPTOR_RESERVE
    yield _at_least(
        "fs.file-max",
        "open files of the whole host",
        system.file_max,
        files,
        f"sysctl -w fs.file-max={_step_up(files)}",
    )
    # man epoll(7): what all processes of a user have in any epoll.
    watches = demand.sessions + demand.listeners * demand.workers + DESCRIPTOR_RESERVE
    yield _at_least(
        "fs.epoll.max_user_watches",
        "sessions and listeners of one user",
        system.epoll_watches,
        watches,
        f"sysctl -w fs.epoll.max_user_watches={_step_up(watches)}",
    )


def _descriptor_remedy(system: System, demand: Demand) -> str:
    needs, hard = demand.descriptors, system.descriptors_hard
    if hard is None or needs <= hard:
        return f"ulimit -n {needs}"
    return f"ulimit -n {needs} in a root shell, or LimitNOFILE={needs} in the unit file, before the start"


def _ports(system: System, demand: Demand) -> Iterator[Limit]:
    if not demand.tuples:
        return
    yield _port_range(system, demand)
    reuse = system.tw_reuse
    fine = reuse == REUSE_EVERYWHERE
    yield Limit(
        "net.ipv4.tcp_tw_reuse",
        "1: the port of a closed session is free again after 1 s, not 60 (2: on loopback)",
        reuse,
        REUSE_EVERYWHERE,
        fine or None,
        "" if fine or reuse is None else f"sysctl -w net.ipv4.tcp_tw_reuse={REUSE_EVERYWHERE}",
    )


def _port_range(system: System, demand: Demand) -> Limit:
    name = "net.ipv4.ip_local_port_range"
    if system.port_low is None or system.port_high is None:
        return Limit(name, "sessions from the local ports", None, demand.sessions, None, "")
    ports = max(0, system.port_high - system.port_low + 1 - (system.reserved_ports or 0))
    capacity = ports * demand.tuples
    about = f"sessions: {ports} ports x {demand.tuples} (source, target) pairs"
    if demand.sessions * FAST_PORT_SHARE <= capacity:
        return Limit(name, about, capacity, demand.sessions, True, "")
    enough = None if demand.sessions <= capacity else False
    if enough is None:
        about += "; connects slow down past half"
    return Limit(name, about, capacity, demand.sessions, enough, _port_remedy(system, ports, demand))


def _port_remedy(system: System, ports: int, demand: Demand) -> str:
    low, high = WIDEST_PORTS
    widest = max(1, high - low + 1 - (system.reserved_ports or 0))
    fast = demand.sessions * FAST_PORT_SHARE
    remedies = []
    if ports < widest and fast <= widest * demand.tuples:
        remedies.append(f'sysctl -w net.ipv4.ip_local_port_range="{low} {high}"')
    pairs = _divide_up(fast, ports or widest)
    if pairs > demand.tuples:
        remedies.append(f"more --target ports or --source-ip addresses: {pairs} (source, target) pairs")
    return "; or ".join(remedies)


def _queues(system: System, demand: Demand) -> Iterator[Limit]:
    if not demand.backlog:
        return
    yield _at_least(
        "net.core.somaxconn",
        "backlog of each listener, cut to this as it opens",
        system.somaxconn,
        demand.backlog,
        f"sysctl -w net.core.somaxconn={demand.backlog}, then open the listeners anew",
    )
    yield _syn_backlog(system, demand)
    yield _syncookies(system, demand)


def _syn_backlog(system: System, demand: Demand) -> Limit:
    name = "net.ipv4.tcp_max_syn_backlog"
    about = "half-open sessions of each listener while tcp_syncookies is 0"
    if system.syncookies:
        # listen(2): ignored while cookies are on; the backlog alone bounds the queue then.
        return Limit(name, about, system.max_syn_backlog, None, True, "")
    parts, usable = SYN_QUEUE_PARTS
    needs = _divide_up(demand.backlog * parts, usable)
    return _at_least(name, about, system.max_syn_backlog, needs, f"sysctl -w {name}={needs}")


def _syncookies(system: System, demand: Demand) -> Limit:
    name, value = "net.ipv4.tcp_syncookies", system.syncookies
    about = "a full backlog: 0 drops the SYN, 1 sends a cookie (2 always), which can cost options"
    if value is None:
        return Limit(name, about, None, None, None, "")
    if value >= COOKIES_ALWAYS:
        return Limit(name, about, value, None, None, f"sysctl -w {name}=1")
    queue = min(demand.backlog, demand.backlog if system.somaxconn is None else system.somaxconn)
    burst = _divide_up(demand.missing, max(1, demand.listeners))
    if value == 0 or burst <= queue:
        return Limit(name, about, value, None, True, "")
    advice = f"a longer --backlog, more --listen ports or a slower start; or sysctl -w {name}=0"
    return Limit(name, about, value, None, None, advice)


def _conntrack(system: System, demand: Demand) -> Iterator[Limit]:
    if system.conntrack_max is None:
        return
    count = system.conntrack_count or 0
    # Loaded is not used: a namespace without a rule that asks for it tracks nothing and meets no limit.
    tracking = count >= max(1, demand.held)
    entries = demand.sessions + (count - demand.held if tracking else count)
    # Kernel, __nf_conntrack_alloc: a maximum of 0 is none.
    yield _at_least(
        "net.netfilter.nf_conntrack_max",
        "tracked connections" if tracking else "connections, once a firewall rule of this host tracks them",
        system.conntrack_max or UNLIMITED,
        entries,
        f"sysctl -w net.netfilter.nf_conntrack_max={_step_up(entries)}",
        hard=tracking,
    )
    buckets = _divide_up(entries, ENTRIES_PER_BUCKET)
    yield _at_least(
        "net.netfilter.nf_conntrack_buckets",
        f"speed of tracking: one for each {ENTRIES_PER_BUCKET} connections",
        system.conntrack_buckets,
        buckets,
        f"sysctl -w net.netfilter.nf_conntrack_buckets={_step_up(buckets)}",
        hard=False,
    )


def _memory(system: System, demand: Demand) -> Iterator[Limit]:
    each = KERNEL_BYTES + demand.user_bytes
    available = system.memory_available
    room = demand.held + (available or 0) // each
    yield _at_least(
        "MemAvailable",
        f"memory in kB: {each / 1000} kB for each end of a session{', held ones included' * bool(demand.held)}",
        None if available is None else (available + demand.held * each) // 1024,
        _divide_up(demand.sessions * each, 1024),
        f"free memory, or use more hosts: about {room} sessions fit",
    )
    pages = demand.sessions * PAGES_WITH_DATA
    # Kernel, tcp_init_mem: the three values stand to each other as 3 : 4 : 6.
    yield _at_least(
        "net.ipv4.tcp_mem",
        "pages of data, if every session has some unread or unacknowledged",
        system.tcp_mem_high,
        pages,
        f'sysctl -w net.ipv4.tcp_mem="{pages // 2} {pages * 2 // 3} {pages}"',
        hard=False,
    )


def _closing(system: System, demand: Demand) -> Iterator[Limit]:
    yield _at_least(
        "net.ipv4.tcp_max_orphans",
        "sessions that close at once; past it they are reset",
        system.max_orphans,
        demand.sessions,
        f"sysctl -w net.ipv4.tcp_max_orphans={demand.sessions}",
        hard=False,
    )
    if demand.tuples:
        yield _at_least(
            "net.ipv4.tcp_max_tw_buckets",
            "sessions in TIME_WAIT; past it they skip it",
            system.max_tw_buckets,
            demand.sessions,
            f"sysctl -w net.ipv4.tcp_max_tw_buckets={demand.sessions}",
            hard=False,
        )


def _at_least(name: str, about: str, value: int | None, needs: int, remedy: str, *, hard: bool = True) -> Limit:
    if value is None:
        return Limit(name, about, value, needs, None, "")
    if value >= needs:
        return Limit(name, about, value, needs, True, "")
    return Limit(name, about, value, needs, False if hard else None, remedy)


def _state(limit: Limit) -> str:
    if limit.enough is not None:
        return "ok" if limit.enough else "too low"
    return "check" if limit.remedy else "unknown"


def _verdict(limits: list[Limit]) -> str:
    named = {
        state: ", ".join(limit.name for limit in limits if _state(limit) == state)
        for state in ("too low", "check", "unknown")
    }
    parts = [f"too low: {named['too low']}" if named["too low"] else "no limit is too low"]
    if named["check"]:
        parts.append(f"worth a look: {named['check']}")
    if named["unknown"]:
        parts.append(f"not readable: {named['unknown']}")
    return "; ".join(parts)


def _divide_up(count: int, by: int) -> int:
    return -(-count // by)


def _step_up(count: int) -> int:
    return _divide_up(count, _STEP) * _STEP
