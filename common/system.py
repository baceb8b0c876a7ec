"""Values of the operating system that limit sessions, and the raising of the descriptor limit."""

import re
import resource
from pathlib import Path
from typing import Final, NamedTuple

from common.limits import UNLIMITED, System, count_ports, format_limit

_PROC: Final = Path("/proc")


def read_system(proc: Path = _PROC) -> System:
    """Return the values found under `proc` and the process's own limits; what cannot be read is None."""
    soft, hard = descriptor_limits()
    low, high = _port_bounds(proc)
    return System(
        descriptors_soft=soft,
        descriptors_hard=hard,
        nr_open=_number(proc, "sys/fs/nr_open"),
        file_max=_number(proc, "sys/fs/file-max"),
        files_in_use=_number(proc, "sys/fs/file-nr"),
        epoll_watches=_number(proc, "sys/fs/epoll/max_user_watches"),
        port_low=low,
        port_high=high,
        reserved_ports=_reserved_ports(proc, low, high),
        tw_reuse=_number(proc, "sys/net/ipv4/tcp_tw_reuse"),
        somaxconn=_number(proc, "sys/net/core/somaxconn"),
        max_syn_backlog=_number(proc, "sys/net/ipv4/tcp_max_syn_backlog"),
        syncookies=_number(proc, "sys/net/ipv4/tcp_syncookies"),
        conntrack_max=_number(proc, "sys/net/netfilter/nf_conntrack_max"),
        conntrack_count=_number(proc, "sys/net/netfilter/nf_conntrack_count"),
        conntrack_buckets=_number(proc, "sys/net/netfilter/nf_conntrack_buckets"),
        memory_available=_memory_available(proc),
        tcp_mem_high=_number(proc, "sys/net/ipv4/tcp_mem", 2),
        max_orphans=_number(proc, "sys/net/ipv4/tcp_max_orphans"),
        max_tw_buckets=_number(proc, "sys/net/ipv4/tcp_max_tw_buckets"),
    )


def local_port_range(proc: Path = _PROC) -> tuple[int, int] | None:
    """Return the lowest and the highest port that a connect may take for our end; None where that cannot be read."""
    low, high = _port_bounds(proc)
    return (low, high) if low and high else None


def descriptor_limits() -> tuple[int, int]:
    """Return the soft and the hard limit on this process's descriptors; UNLIMITED where there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _finite(soft), _finite(hard)


class Closing(NamedTuple):
    """Sessions of this network namespace that were closed: those whose FIN is not known yet, and in TIME_WAIT."""

    orphans: int
    time_wait: int


def closing_sessions(proc: Path = _PROC) -> Closing:
    """Return how many there are; none where that cannot be read."""
    found = re.search(r"^TCP: .*\borphan (\d+) tw (\d+)", _text(proc, "net/sockstat") or "", re.MULTILINE)
    return Closing(int(found[1]), int(found[2])) if found else Closing(0, 0)


def closing_limits(proc: Path = _PROC) -> tuple[int | None, int | None]:
    """Return how many of both the kernel keeps, None for what cannot be read."""
    return _number(proc, "sys/net/ipv4/tcp_max_orphans"), _number(proc, "sys/net/ipv4/tcp_max_tw_buckets")


def raise_descriptor_limit() -> str | None:
    """Raise the soft and the hard limit on descriptors to nr_open, else the soft one to the hard one.

    Returns one line that names the limit and the remedy if the soft limit stays below the hard one. What the
    limits are afterwards, `descriptor_limits` says: nr_open may be 2**30, so nothing is sized by it.
    """
    soft, hard = descriptor_limits()
    for wanted in (_number(_PROC, "sys/fs/nr_open"), hard):
        if wanted is not None and wanted > soft and _set_descriptor_limit(wanted):
            break
    soft, hard = descriptor_limits()
    if soft >= hard:
        return None
    most = format_limit(hard)
    return f"ulimit -n stays at {soft}, not raised to {most}: run `ulimit -n {most}` before the start"


def _set_descriptor_limit(wanted: int) -> bool:
    value = resource.RLIM_INFINITY if wanted == UNLIMITED else wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (value, value))
    except (ValueError, OSError):
        # EPERM arrives as ValueError; root gets it too where CAP_SYS_RESOURCE was taken away.
        return False
    return True


def _finite(limit: int) -> int:
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _reserved_ports(proc: Path, low: int | None, high: int | None) -> int | None:
    text = _text(proc, "sys/net/ipv4/ip_local_reserved_ports")
    if text is None or low is None or high is None:
        return None
    return count_ports(text, low, high)


def _memory_available(proc: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", _text(proc, "meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _port_bounds(proc: Path) -> tuple[int | None, int | None]:
    name = "sys/net/ipv4/ip_local_port_range"
    return _number(proc, name), _number(proc, name, 1)


def _number(proc: Path, name: str, position: int = 0) -> int | None:
    words = (_text(proc, name) or "").split()
    try:
        return int(words[position])
    except (IndexError, ValueError):
        return None


def _text(proc: Path, name: str) -> str | None:
    try:
        return (proc / name).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
