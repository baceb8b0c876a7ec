"""Tests of reading the operating system's values and of raising the descriptor limit."""

import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.limits import UNLIMITED, System
from common.system import closing_sessions, descriptor_limits, raise_descriptor_limit, read_system

REPOSITORY = Path(__file__).parents[2]

RAISE = "from common.system import *; print(raise_descriptor_limit()); print(*descriptor_limits())"

# Makes the kernel refuse every later change of a resource limit with EPERM (1), as a container's filter may;
# reading the limits stays allowed: only a call whose third argument, the new limit, is not NULL is refused.
REFUSE = """
import ctypes, struct, sys
load, equal, answer = 0x20, 0x15, 0x06
program = [
    (load, 0, 0, 0), (equal, 0, 3, int(sys.argv[1])),
    (load, 0, 0, 32), (equal, 1, 0, 0),
    (answer, 0, 0, 0x00050000 | 1), (answer, 0, 0, 0x7FFF0000),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(filters)), 0, 0) == 0
"""
PRLIMIT64 = {"x86_64": 302, "aarch64": 261}.get(platform.machine())


def run_python(code: str, *arguments: str, soft: int, hard: int) -> list[str]:
    """Return what `code` prints in a process that starts with these limits on descriptors."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


def write(proc: Path, values: dict[str, str]) -> Path:
    for name, text in values.items():
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        (proc / name).write_text(text)
    return proc


@pytest.fixture
def own_limits() -> Iterator[tuple[int, int]]:
    """Give this process's limits on descriptors, and put them back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield limits
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_this_host_is_read() -> None:
    system = read_system()
    assert (system.descriptors_soft, system.descriptors_hard) == descriptor_limits()
    assert system.memory_available is not None
    assert system.memory_available > 1 << 20
    assert system.port_low is not None
    assert system.port_high is not None
    assert 1 <= system.port_low <= system.port_high <= 65_535
    assert system.files_in_use is not None
    assert system.file_max is not None
    assert 0 < system.files_in_use <= system.file_max
    assert system.tw_reuse in (0, 1, 2)


def test_values_are_taken_from_their_files(tmp_path: Path) -> None:
    system = read_system(
        write(
            tmp_path,
            {
                "sys/fs/nr_open": "1048576\n",
                "sys/fs/file-max": "9223372036854775807\n",
                "sys/fs/file-nr": "377\t0\t9223372036854775807\n",
                "sys/fs/epoll/max_user_watches": "1790000\n",
                "sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
                "sys/net/ipv4/ip_local_reserved_ports": "8080,40000-40009,60998-61001\n",
                "sys/net/ipv4/tcp_tw_reuse": "2\n",
                "sys/net/core/somaxconn": "4096\n",
                "sys/net/ipv4/tcp_max_syn_backlog": "2048\n",
                "sys/net/ipv4/tcp_syncookies": "1\n",
                "sys/net/netfilter/nf_conntrack_max": "262144\n",
                "sys/net/netfilter/nf_conntrack_count": "7\n",
                "sys/net/netfilter/nf_conntrack_buckets": "65536\n",
                "sys/net/ipv4/tcp_mem": "287901\t383869\t575802\n",
                "sys/net/ipv4/tcp_max_orphans": "131072\n",
                "sys/net/ipv4/tcp_max_tw_buckets": "131073\n",
                "meminfo": "MemTotal:  100 kB\nMemFree:  50 kB\nMemAvailable:   70 kB\nBuffers:  1 kB\n",
            },
        )
    )
    soft, hard = descriptor_limits()
    assert system == System(
        descriptors_soft=soft,
        descriptors_hard=hard,
        nr_open=1_048_576,
        file_max=UNLIMITED,
        files_in_use=377,
        epoll_watches=1_790_000,
        port_low=32_768,
        port_high=60_999,
        reserved_ports=12,
        tw_reuse=2,
        somaxconn=4_096,
        max_syn_backlog=2_048,
        syncookies=1,
        conntrack_max=262_144,
        conntrack_count=7,
        conntrack_buckets=65_536,
        memory_available=70 * 1024,
        tcp_mem_high=575_802,
        max_orphans=131_072,
        max_tw_buckets=131_073,
    )


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    soft, hard = descriptor_limits()
    assert read_system(tmp_path) == System(descriptors_soft=soft, descriptors_hard=hard)


def test_what_is_not_as_expected_is_none(tmp_path: Path) -> None:
    system = read_system(
        write(
            tmp_path,
            {
                "sys/fs/nr_open": "many\n",
                "sys/fs/file-max": "",
                "sys/fs/file-nr/is/a": "directory",
                "sys/net/ipv4/ip_local_port_range": "32768\n",
                "sys/net/ipv4/ip_local_reserved_ports": "1-65535\n",
                "sys/net/ipv4/tcp_mem": "1\t2\n",
                "sys/net/core/somaxconn": "\xff\n",
                "meminfo": "MemTotal:  100 kB\n",
            },
        )
    )
    assert system == System(
        descriptors_soft=system.descriptors_soft, descriptors_hard=system.descriptors_hard, port_low=32_768
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sockets: used 90\nTCP: inuse 6 orphan 3 tw 28221 alloc 12 mem 0\nUDP: inuse 1 mem 0\n", (3, 28_221)),
        ("TCP: inuse 6\n", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_sessions_that_are_closed_are_counted(tmp_path: Path, text: str, expected: tuple[int, int]) -> None:
    assert closing_sessions(write(tmp_path, {"net/sockstat": text})) == expected
    assert closing_sessions(tmp_path / "nowhere") == (0, 0)


def test_descriptor_limits_are_those_of_the_process() -> None:
    code = "from common.system import *; print(*descriptor_limits())"
    assert run_python(code, soft=64, hard=128) == ["64 128"]


def test_soft_limit_is_raised_to_the_hard_one_at_least() -> None:
    warning, limits = run_python(RAISE, soft=64, hard=128)
    soft, hard = map(int, limits.split())
    assert warning == "None"
    assert soft == hard >= 128


def test_a_limit_that_is_as_high_as_it_can_be_is_no_reason_to_warn() -> None:
    warning, limits = run_python(RAISE, soft=128, hard=128)
    soft, hard = map(int, limits.split())
    assert warning == "None"
    assert soft == hard >= 128


def test_raising_twice_changes_nothing_more() -> None:
    code = f"{RAISE}; print(raise_descriptor_limit()); print(*descriptor_limits())"
    first, second = (lines for lines in zip(*[iter(run_python(code, soft=64, hard=128))] * 2, strict=True))
    assert first == second


@pytest.mark.skipif(PRLIMIT64 is None, reason="the number of the system call is not known for this processor")
def test_a_refused_soft_limit_is_told_with_its_remedy() -> None:
    lines = run_python(f"{REFUSE}\n{RAISE}", str(PRLIMIT64), soft=64, hard=128)
    assert lines == [
        "ulimit -n stays at 64, not raised to 128: run `ulimit -n 128` before the start",
        "64 128",
    ]


@pytest.mark.skipif(PRLIMIT64 is None, reason="the number of the system call is not known for this processor")
def test_a_refusal_at_the_hard_limit_is_not_told() -> None:
    assert run_python(f"{REFUSE}\n{RAISE}", str(PRLIMIT64), soft=128, hard=128) == ["None", "128 128"]


def test_raising_gives_back_what_was_lowered(own_limits: tuple[int, int]) -> None:
    _, hard = own_limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
    assert raise_descriptor_limit() is None
    after = descriptor_limits()
    assert after[0] == after[1] >= hard
