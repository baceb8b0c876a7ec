"""Tests of the examples of a fleet: a head that is brought up by hand, and rules that name all that it listens on."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import pytest

from tests.daemons.cluster import ADDRESS, NODES, PORT, missing_for_cluster
from tests.daemons.namespaces import Namespace
from tests.support import PATIENCE, ROOT, environment

EXAMPLES: Final = ROOT / "examples" / "fleet"

# What `ss -ltnH` shows of one socket: its state, two queues, its address.
_PORT: Final = re.compile(r"^LISTEN +\d+ +\d+ +\S+:(\d+) ", re.MULTILINE)

# Prints the ports of what Ray tells Prometheus: of the autoscaler, and of the dashboard.
_PORTS: Final = """
from ray.autoscaler._private.constants import AUTOSCALER_METRIC_PORT
from ray.dashboard.consts import DASHBOARD_METRIC_PORT
print(AUTOSCALER_METRIC_PORT, DASHBOARD_METRIC_PORT)
"""

# The ports that the rules say something about.
_RULED: Final = re.compile(r"tcp dport (\d+)-(\d+) drop")


def hosts(*arguments: str, prefix: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the command of the script with the arguments."""
    return (*prefix, "bash", str(EXAMPLES / "three-hosts.sh"), *arguments)


@contextmanager
def running_head(place: Namespace, folder: Path) -> Iterator[None]:
    """Bring up a head as the script does, with a home and a folder of its own, in a process namespace that ends it."""
    scripts = str(Path(sys.executable).parent)
    own = {
        "HOME": str(folder),
        "RAY_TMPDIR": str(folder),
        "PATH": f"{scripts}:{environment()['PATH']}",
        "PYTHONWARNINGS": "default",
    }
    inside = (*place.prefix, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    subprocess.run(hosts("token"), env={**environment(), **own}, timeout=PATIENCE, check=True, capture_output=True)
    log = folder / "head.log"
    with log.open("wb") as output:
        head = subprocess.Popen(
            hosts("head", NODES[0], prefix=inside), stdout=output, stderr=output, env={**environment(), **own}
        )
    try:
        end = monotonic() + PATIENCE
        while "Ray runtime started" not in (text := log.read_text()):
            assert head.poll() is None and monotonic() < end, text
            sleep(0.1)
        yield
    finally:
        head.kill()
        head.wait()


@pytest.mark.namespace
def test_the_rules_name_every_port_that_a_head_listens_on() -> None:
    """A port that they leave out is open to everybody, whoever is kept from the others."""
    reason = missing_for_cluster()
    if reason:
        pytest.skip(reason)
    place = Namespace(f"sessioner-{os.getpid()}-rules")
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, for the paths of Ray's sockets are long
    try:
        place.add()
        place.ip("address", "add", f"{NODES[0]}/32", "dev", "lo")
        rules = place.run(*hosts("rules", f"{NODES[0]}-{NODES[-1]}"))
        place.run("nft", "--check", "--file", "-", text=rules)
        ruled = _RULED.search(rules)
        assert ruled
        first, last = map(int, ruled.groups())
        with running_head(place, folder):
            ports = set(map(int, _PORT.findall(place.run("ss", "-ltnH"))))
        assert PORT in ports, f"no head at {ADDRESS}"
        assert not [port for port in ports if not first <= port <= last]
    finally:
        place.delete()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("arguments", [(), ("head",), ("node", NODES[1]), ("rules",), ("stop", "now"), ("begin",)])
def test_a_wrong_use_is_told_how_to_use_it(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(hosts(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "three-hosts.sh node 10.0.0.2 10.0.0.1" in done.stderr


def test_the_manifest_is_one_of_a_cluster_with_a_token_and_its_image() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    cluster, policy = yaml.safe_load_all((EXAMPLES / "kuberay.yaml").read_text())
    assert [document["kind"] for document in (cluster, policy)] == ["RayCluster", "NetworkPolicy"]
    spec = cluster["spec"]
    assert f"FROM rayproject/ray:{spec['rayVersion']}-" in (EXAMPLES / "Dockerfile").read_text()
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    for group in groups:
        assert selected.items() <= group["template"]["metadata"]["labels"].items()
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]


def test_ray_s_metrics_are_not_among_the_ports_that_the_manifest_gives_to_sessions() -> None:
    """Ray has a port of its own for each unless the environment names another: constants, of which it is asked here."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    pytest.importorskip("ray", reason="Ray is not installed")
    cluster, _ = yaml.safe_load_all((EXAMPLES / "kuberay.yaml").read_text())
    pod = cluster["spec"]["headGroupSpec"]["template"]["spec"]
    (sysctl,) = pod["securityContext"]["sysctls"]
    given = {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}
    done = subprocess.run(
        [sys.executable, "-c", _PORTS],
        env={**environment(), "PYTHONWARNINGS": "default", **given},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    ports = list(map(int, done.stdout.split()))
    assert len(set(ports)) == 2
    assert all(port < int(sysctl["value"].split()[0]) for port in ports)
