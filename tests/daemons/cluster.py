"""A Ray cluster of hosts that are network namespaces, each with an address of its own, joined by a bridge."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

from tests.daemons.namespaces import Namespace, missing
from tests.support import environment, eventually

# The addresses and names of the nodes, the first of which is the head, and the address of the host beside them.
NODES: Final = ("10.202.1.1", "10.202.1.2", "10.202.1.3")
HOSTS: Final = ("host-1", "host-2", "host-3")
BESIDE: Final = "10.202.1.254"
PORT: Final = 6379
ADDRESS: Final = f"{NODES[0]}:{PORT}"

_BRIDGE: Final = "bridge"
_LINK: Final = "to-bridge"

# What `ray start` says when a node is up.
_STARTED: Final = "Ray runtime started"

# Nodes would take each other's sockets in the folder. The head's is for its console as well.
_HEAD: Final = 'hostname "$0"; shift; exec "$@"'
_OTHER: Final = 'hostname "$0"; mount -t tmpfs tmpfs "$1" && shift && exec "$@"'

# Ray itself, and what it imports, warns of its own doings.
_WARNINGS: Final = ("env", "PYTHONWARNINGS=default")


def missing_for_cluster() -> str | None:
    """Return what a cluster lacks on this machine, None when one can be made."""
    if find_spec("ray") is None:
        return "Ray is not installed: pip install 'sessioner[fleet]'"
    if not shutil.which("unshare"):
        return "unshare is not installed"
    return missing()


class Cluster:
    """Hosts with a node of Ray each, and one beside them; leaving the block ends and removes them all.

    Each node has a process namespace of its own, so that it ends as a host does: all of it at once.
    """

    def __init__(self) -> None:
        self.beside = Namespace(f"sessioner-{os.getpid()}-beside")
        self.hosts = [Namespace(f"sessioner-{os.getpid()}-{number}") for number, _ in enumerate(NODES)]
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            # Short, for the paths of sockets in it are long.
            self._folder = Path(tempfile.mkdtemp(prefix="ray-"))
            self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            for namespace in (self.beside, *self.hosts):
                self._stack.callback(namespace.delete)
                namespace.add()
            self.beside.ip("link", "add", _BRIDGE, "type", "bridge")
            self.beside.ip("address", "add", f"{BESIDE}/24", "dev", _BRIDGE)
            self.beside.ip("link", "set", _BRIDGE, "up")
            for number, host in enumerate(self.hosts):
                there = f"to-{number}"
                host.ip("link", "add", _LINK, "type", "veth", "peer", "name", there, "netns", self.beside.name)
                self._stack.callback(self.beside.ip, "link", "delete", there)
                host.ip("address", "add", f"{NODES[number]}/24", "dev", _LINK)
                host.ip("link", "set", _LINK, "up")
                self.beside.ip("link", "set", there, "master", _BRIDGE, "up")
            self._stack.callback(self._kill_all)
            self.start(0)
            self.start(*range(1, len(NODES)))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def prefix(self, number: int) -> Sequence[str]:
        """Return what makes a daemon run on a host when it stands before it."""
        return (*self.hosts[number].prefix, *_WARNINGS)

    def start(self, *numbers: int) -> None:
        """Start the nodes of some hosts, and return when they are up."""
        logs = {}
        for number in numbers:
            logs[number] = self._folder / f"{number}-{monotonic()}.log"
            role = (
                ["--head", f"--port={PORT}", "--include-dashboard=false"] if number == 0 else [f"--address={ADDRESS}"]
            )
            ray = str(Path(sys.executable).with_name("ray"))
            with logs[number].open("wb") as log:
                self._nodes[number] = subprocess.Popen(
                    [
                        *self.hosts[number].prefix,
                        *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts"),
                        *("sh", "-c", _HEAD if number == 0 else _OTHER, HOSTS[number], str(self._folder)),
                        *(ray, "start", "--block", "--disable-usage-stats", f"--node-ip-address={NODES[number]}"),
                        *("--num-cpus=0", "--object-store-memory=80000000", f"--temp-dir={self._folder}"),
                        *role,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**environment(), "PYTHONWARNINGS": "default"},
                )
        for number in logs:

            def said(number: int = number) -> str:
                text = logs[number].read_text()
                assert self._nodes[number].poll() is None, text
                return text

            eventually(said, lambda text: _STARTED in text)

    def mend(self) -> None:
        """Start the nodes that are down."""
        self.start(*(number for number, _ in enumerate(NODES) if number not in self._nodes))

    def kill(self, number: int) -> None:
        """End all of a node at once."""
        node = self._nodes.pop(number)
        node.kill()
        node.wait()

    def _kill_all(self) -> None:
        for number in reversed(list(self._nodes)):
            self.kill(number)
