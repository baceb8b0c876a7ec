"""Three network namespaces in a row, left - box - right, where the box is a real netfilter in the path of sessions."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Final, Self

# The ends of the first link, of the second one beside it, and of the link on the other side of the box.
LEFT: Final = "10.201.1.1"
BOX_LEFT: Final = "10.201.1.254"
LEFT_SECOND: Final = "10.201.2.1"
BOX_LEFT_SECOND: Final = "10.201.2.254"
RIGHT: Final = "10.201.9.1"
BOX_RIGHT: Final = "10.201.9.254"

# Interfaces, by the same names in every network.
LINK: Final = "to-box"
SECOND_LINK: Final = "to-box-too"

# Further addresses of the left namespace, next to its first one.
LEFT_OTHERS: Final = ("10.201.1.2", "10.201.1.3", "10.201.1.4")

_TOOLS: Final = ("ip", "nft", "conntrack")

# Seconds that one command of these may take.
_PATIENCE: Final = 30

_serial: Final = count()

# Keeps connection tracking on, whatever the rules in force.
_TRACKING: Final = """
table ip tracking {
    chain forward {
        type filter hook forward priority -10;
        ct state new counter
    }
}
"""

_MASQUERADE: Final = f"""
table ip translation {{
    chain postrouting {{
        type nat hook postrouting priority 100;
        ip daddr {RIGHT} masquerade
    }}
}}
"""

# The rules in force, all exchanged in one transaction.
_RULES: Final = """
table ip rules
delete table ip rules
table ip rules {{
    set counted {{
        type ipv4_addr
        flags dynamic
    }}
    chain forward {{
        type filter hook forward priority 0; policy accept;
        {}
    }}
}}
"""


def missing() -> str | None:
    """Return what a network lacks on this machine, None when one can be made."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in _TOOLS:
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = Namespace(_name("probe"))
    try:
        probe.add()
    except RuntimeError as failure:
        return f"no network namespace can be made: {failure}"
    finally:
        probe.delete()
    return None


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace, known to ip(8) by its name."""

    name: str

    @property
    def prefix(self) -> Sequence[str]:
        """What makes a command run in the namespace when it stands before it."""
        return ("ip", "netns", "exec", self.name)

    def add(self) -> None:
        """Make the namespace, with its loopback up."""
        _run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def delete(self) -> None:
        """Remove the namespace, whatever is left of it."""
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, timeout=_PATIENCE, check=False)

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command in the namespace with a text as its input, and return its output; it must succeed."""
        return _run(*self.prefix, *command, text=text)

    def ip(self, *arguments: str) -> str:
        """Change links, addresses or routes of the namespace, and return the output."""
        return _run("ip", "-n", self.name, *arguments)

    def sysctl(self, name: str, value: int | str) -> None:
        """Set a value of the kernel below net/, for this namespace alone."""
        self.run("tee", f"/proc/sys/net/{name}", text=f"{value}\n")


class Network:
    """The three namespaces with their links, addresses and routes; leaving the block removes them.

    The box forwards and tracks connections, and lets everything pass until `rules` says otherwise.
    """

    def __init__(self) -> None:
        self.left, self.box, self.right = (Namespace(_name(place)) for place in ("left", "box", "right"))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            for namespace in (self.left, self.box, self.right):
                self._stack.callback(namespace.delete)
                namespace.add()
                namespace.sysctl("ipv4/tcp_tw_reuse", 1)
                # What is closed into a black hole is an orphan of the whole host, and would be for minutes.
                namespace.sysctl("ipv4/tcp_orphan_retries", 1)
            self.box.sysctl("ipv4/ip_forward", 1)
            self._link(self.left, LINK, LEFT, "left", BOX_LEFT)
            self._link(self.left, SECOND_LINK, LEFT_SECOND, "left-too", BOX_LEFT_SECOND)
            self._link(self.right, LINK, RIGHT, "right", BOX_RIGHT)
            for address in LEFT_OTHERS:
                self.left.ip("address", "add", f"{address}/24", "dev", LINK)
            self.left.ip("route", "add", "default", "via", BOX_LEFT, "src", LEFT)
            self.left.ip("route", "add", "default", "via", BOX_LEFT_SECOND, "metric", "10")
            self._route_back()
            self._nft(_TRACKING)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def rules(self, *rules: str) -> None:
        """Apply these rules of nft(8) to all that is forwarded, in place of those before; none lets all pass."""
        self._nft(_RULES.format("\n        ".join(rules)))

    def masquerade(self) -> None:
        """Let the right namespace see the box's address in place of those on the left."""
        self._nft(_MASQUERADE)

    def forget(self) -> None:
        """Let the box forget every session it tracks, and take none up again from the middle."""
        self.box.sysctl("netfilter/nf_conntrack_tcp_loose", 0)
        self.box.run("conntrack", "--flush")

    def tracked(self) -> int:
        """Return how many sessions the box tracks as established."""
        listing = self.box.run("conntrack", "--dump", "--proto", "tcp", "--state", "ESTABLISHED")
        return len(listing.splitlines())

    def unplug(self) -> None:
        """Take the right namespace's link down."""
        self.right.ip("link", "set", LINK, "down")

    def plug(self) -> None:
        """Take the right namespace's link up again."""
        self.right.ip("link", "set", LINK, "up")
        self._route_back()

    def _link(self, end: Namespace, name: str, address: str, box_name: str, box_address: str) -> None:
        """Join a namespace to the box."""
        end.ip("link", "add", name, "type", "veth", "peer", "name", box_name, "netns", self.box.name)
        self._stack.callback(_run, "ip", "-n", self.box.name, "link", "delete", box_name)
        for namespace, interface, own in ((end, name, address), (self.box, box_name, box_address)):
            namespace.ip("address", "add", f"{own}/24", "dev", interface)
            namespace.ip("link", "set", interface, "up")

    def _route_back(self) -> None:
        self.right.ip("route", "replace", "default", "via", BOX_RIGHT)

    def _nft(self, text: str) -> None:
        self.box.run("nft", "--file", "-", text=text)


def _name(place: str) -> str:
    """Return a name that no other process and no other network of this one uses."""
    return f"sessioner-{os.getpid()}-{next(_serial)}-{place}"


def _run(*command: str, text: str | None = None) -> str:
    """Run a command that must succeed, and return its output; raises RuntimeError that says what went wrong."""
    result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout
