"""Tests of whole daemons over TLS, with each other and with openssl and unbound as the other end."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemons.test_load import UNBOUND
from tests.daemons.test_programs import program, received, running
from tests.support import PATIENCE, ROOT, Daemon, environment, initiator, responder
from tests.tls import Certificates

FreePorts = Callable[[int], int]

UNBOUND_TLS = """  tls-service-key: "{key}"
  tls-service-pem: "{cert}"
  tls-port: {port}
remote-control:"""


def serving(certificates: Certificates, first: int, count: int = 1, *arguments: str) -> Daemon:
    """Start a responder that speaks TLS."""
    return responder(first, count, "--tls-cert", certificates.cert, "--tls-key", certificates.key, *arguments)


def secure(certificates: Certificates, first: int, count: int = 1, *arguments: str) -> Daemon:
    """Start an initiator that speaks TLS, and trusts who has signed the certificate."""
    return initiator(first, count, "--tls", "--tls-ca", certificates.ca, *arguments)


@contextmanager
def openssl_client(certificates: Certificates, port: int, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run openssl as a client whose input and output are pipes, and see that it has verified the certificate."""
    command = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", certificates.ca]
    command += ["-verify_return_error", "-verify_hostname", "localhost", *options]
    errors = subprocess.DEVNULL if "-quiet" in options else subprocess.STDOUT
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            yield process
        finally:
            process.kill()


def test_hundreds_of_sessions_are_held_pinged_and_queried(certificates: Certificates, free_ports: FreePorts) -> None:
    first = free_ports(3)
    with serving(certificates, first, 3) as there, secure(certificates, first, 3) as front:
        front.send("set 300", "wait", "ping on")
        assert front.line() == "Ping enabled"
        front.send("ping interval 10ms-200ms")
        assert front.line().startswith("Ping interval")
        now = front.until(lambda now: now["confirmed"] == 300 and now["pings_answered"] > 600)
        assert (now["held"], now["losses"], now["failures"]) == (300, {}, {})
        pinged = now["pings_answered"]
        front.send("query 1k")
        front.until(lambda now: now["query"]["sent"] > 400 and now["pings_answered"] > pinged + 300)
        query = front.ask("stop query", "wait query 20s", "status --json")["query"]
        assert query["due"] == query["sent"] == query["answered"] > 400
        assert (query["unsent"], query["timeouts"], query["lost"], query["unknown"], query["malformed"]) == (0,) * 5
        found = {row["name"]: row for row in front.ask("latency --json")}
        assert found["connect"]["count"] == found["tls"]["count"] == 300
        output, _, code = front.end("expect tls.p50 > 1us", "expect tls.p50 < 60s", "set 0", "wait", "latency")
        assert code == 0, output
        assert "\ntls         raw        p50 " in output
        now = there.until(lambda now: not now["held"])
        assert (now["accepted"], now["losses"]) == (300, {"fin": 300})
        assert now["received"] == now["sent"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "certificate verify failed: "),
        (["--tls-ca", "{0.stranger}"], "certificate verify failed: unable to get local issuer certificate"),
        (
            ["--tls-ca", "{0.ca}", "--tls-name", "www.example.com"],
            "certificate verify failed: Hostname mismatch, certificate is not valid for 'www.example.com'.",
        ),
    ],
    ids=["system", "stranger", "name"],
)
def test_a_certificate_that_does_not_do_is_told(
    certificates: Certificates, free_ports: FreePorts, tmp_path: Path, options: list[str], why: str
) -> None:
    port, log = free_ports(1), tmp_path / "log"
    words = [option.format(certificates) for option in options]
    with serving(certificates, port) as there, initiator(port, 1, "--tls", *words, "--log", str(log)) as front:
        now = front.until(lambda now: now["failures"].get("tls", 0) > 1)
        assert (now["held"], now["established"], set(now["failures"])) == (0, 0, {"tls"})
        assert set(there.until(lambda now: now["losses"])["losses"]) == {"tls"}
        assert front.end()[2] == 0
    assert f" failed: {why}" in log.read_text()


def test_the_name_is_the_host_as_it_is_written(certificates: Certificates, free_ports: FreePorts) -> None:
    port = free_ports(1)
    with (
        responder(port, 1, "--tls-cert", certificates.both),
        Daemon("initiator", "-t", f"localhost:{port}", "--tls", "--tls-ca", certificates.ca) as front,
    ):
        front.until(lambda now: now["held"] == now["asked"])
        front.send(f"target remove localhost:{port}", f"target add 127.0.0.1:{port}", "wait")
        assert front.line() in ("1 target removed", "2 targets removed")
        assert front.line().startswith("1 target added")
        now = front.ask("status --json")
        assert (now["asked"], now["held"], now["failures"]) == (1, 1, {})


def test_a_server_that_speaks_no_tls_fails_every_attempt(certificates: Certificates, free_ports: FreePorts) -> None:
    port = free_ports(1)
    with responder(port), secure(certificates, port) as front:
        now = front.until(lambda now: now["failures"].get("tls", 0) > 1)
        assert (now["held"], now["established"], set(now["failures"])) == (0, 0, {"tls"})


def test_a_client_that_speaks_no_tls_is_dropped(certificates: Certificates, free_ports: FreePorts) -> None:
    """It is not dropped before it speaks: until then it is like any client that is slow."""
    port = free_ports(1)
    with serving(certificates, port) as there, initiator(port) as front:
        front.send("wait", "query 50")
        assert front.line().startswith("Queries: 50 a second")
        now = front.until(lambda now: now["losses"])
        assert set(now["losses"]) <= {"fin", "rst"}
        assert set(there.until(lambda now: now["losses"])["losses"]) == {"tls"}
        with secure(certificates, port) as other:
            other.send("wait held 20s")
            assert other.ask("status --json")["held"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["initiator", "-t", "127.0.0.1:9", "--tls-insecure"], "sessioner_initiator: --tls-insecure needs --tls "),
        (["initiator", "-t", "127.0.0.1:9", "--tls", "--tls-ca", "/none"], "sessioner_initiator: file /none cannot be"),
        (["responder", "-l", "127.0.0.1:9", "--tls-cert", "/none"], "sessioner_responder: no certificate and its key"),
    ],
)
def test_what_cannot_be_used_is_refused_at_the_start(words: list[str], said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        env=environment(),
    )
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(said)


@pytest.mark.program
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_gets_back_what_it_sends(certificates: Certificates, free_ports: FreePorts, version: str) -> None:
    port, data = free_ports(1), random.Random(5).randbytes(2_000_000)
    with serving(certificates, port) as there:
        with openssl_client(certificates, port, "-quiet", version) as client:
            assert client.stdin
            assert client.stdout
            with ThreadPoolExecutor() as pool:
                writing = pool.submit(client.stdin.write, data)
                assert client.stdout.read(len(data)) == data
                assert writing.result() == len(data)
        now = there.until(lambda now: not now["held"])
        assert (now["received"], now["sent"]) == (len(data), len(data))


def said(client: "subprocess.Popen[bytes]", line: bytes, end: bytes) -> bytes:
    """Give a client a line, and return what it prints up to something."""
    assert client.stdin
    client.stdin.write(line)
    client.stdin.flush()
    output = b""
    while end not in output:
        output += received(client)
    return output


@pytest.mark.program
def test_new_keys_change_nothing(certificates: Certificates, free_ports: FreePorts) -> None:
    """A line with a K makes openssl change its key and ask for a change of ours; one with a Q notifies a close."""
    port = free_ports(1)
    with serving(certificates, port) as there:
        with openssl_client(certificates, port, "-brief", "-tls1_3") as client:
            for line in (b"before\n", b"behind\n", b"again\n"):
                said(client, line, line)
                said(client, b"K\n", b"KEYUPDATE\n")
            said(client, b"Q\n", b"DONE\n")
            assert client.wait(PATIENCE) == 0
        now = there.until(lambda now: not now["held"])
        assert (now["received"], now["losses"]) == (20, {"fin": 1})


@pytest.mark.program
def test_nothing_is_negotiated_anew(certificates: Certificates, free_ports: FreePorts) -> None:
    """A line with an R makes openssl ask for it in TLS 1.2: it is refused, and others are answered."""
    port = free_ports(1)
    with serving(certificates, port) as there:
        with openssl_client(certificates, port, "-brief", "-tls1_2") as client:
            said(client, b"before\n", b"before\n")
            said(client, b"R\n", b"RENEGOTIATING\n")
            with openssl_client(certificates, port, "-brief", "-tls1_2") as other:
                said(other, b"others\n", b"others\n")
        now = there.until(lambda now: not now["held"])
        assert (now["received"], now["losses"]) == (14, {"fin": 2})


@pytest.mark.program
def test_unbound_answers_every_query_over_tls(
    certificates: Certificates, free_ports: FreePorts, tmp_path: Path
) -> None:
    port = free_ports(1)
    config = UNBOUND.replace("remote-control:", UNBOUND_TLS)
    (tmp_path / "unbound.conf").write_text(
        config.format(directory=tmp_path, port=port, key=certificates.key, cert=certificates.cert)
    )
    (tmp_path / "names").write_text("example.com A\nwww.example.com AAAA\nmissing.example.com A\n")
    with (
        running([program("unbound"), "-d", "-c", str(tmp_path / "unbound.conf")], port),
        secure(certificates, port) as front,
    ):
        front.ask("set 50", "wait", "status --json")
        front.send(f"query 1k for 1s names {tmp_path}/names seed 1", "wait query 20s")
        front.line()
        now = front.ask("status --json")
        query = now["query"]
        assert query["answered"] == query["sent"] == query["due"] > 800
        assert set(query["rcodes"]) == {"NOERROR", "NXDOMAIN"}
        assert (query["unknown"], query["malformed"], query["truncated"]) == (0, 0, 0)
        assert (now["held"], now["losses"], now["failures"]) == (50, {}, {})
