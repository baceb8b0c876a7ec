"""Tests of TLS over a descriptor, with both ends in this process or one of them not ours."""

import errno
import os
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import UsageError
from common.reactor import Reactor
from common.tls import Handshakes, Tls, TlsError, check_name, client_context, server_context
from tests.support import until
from tests.tls import Certificates

RECORD = 1 << 14


@contextmanager
def sockets(size: int | None = None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a session that do not block, with buffers of a size."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as ours:
        for sock in (server, ours) if size else ():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size or 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size or 0)
        ours.connect(server.getsockname())
        theirs, _ = server.accept()
        with theirs:
            for sock in (ours, theirs):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield ours, theirs


def shake(client: Tls, server: Tls) -> None:
    """Return when both are done with the handshake."""
    done: set[Tls] = set()
    while len(done) < 2:
        done |= {tls for tls in (client, server) if tls not in done and tls.handshake()}


@contextmanager
def session(certificates: Certificates, size: int | None = None) -> Iterator[tuple[Tls, Tls]]:
    """Give both ends of a session whose handshake is done, the client's first."""
    with sockets(size) as (ours, theirs):
        client = Tls(ours.fileno(), client_context(certificates.ca, verify=True), "localhost")
        server = Tls(theirs.fileno(), server_context(certificates.cert, certificates.key))
        shake(client, server)
        yield client, server


def received(tls: Tls, size: int = 1 << 16) -> bytes:
    """Return all that has come by now, by reads of a size."""
    buffer, data = bytearray(size), b""
    try:
        while count := tls.receive([buffer]):
            data += buffer[:count]
    except BlockingIOError:
        pass
    return data


def ended(tls: Tls) -> bool:
    """Return whether the end has come, and nothing before it."""
    try:
        return tls.receive([bytearray(10)]) == 0
    except BlockingIOError:
        return False


def test_both_ends_hear_each_other(certificates: Certificates) -> None:
    with session(certificates) as (client, server):
        assert client.send(b"hello") == 5
        assert received(server) == b"hello"
        assert server.send(b"") == 0
        assert server.send(b"and back") == 8
        assert received(client) == b"and back"


def test_tickets_are_no_data(certificates: Certificates) -> None:
    """After the handshake a server of TLS 1.3 sends tickets: there is something to be read, but not for us."""
    with session(certificates) as (client, _):
        assert received(client) == b""
        assert not client.pending
        assert not ended(client)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5 * RECORD)), max_size=8),
    st.sampled_from([1, 1000, RECORD, 1 << 16]),
)
def test_what_is_sent_comes_whole_and_in_order(
    certificates: Certificates, sends: list[tuple[bool, int]], size: int
) -> None:
    """Whatever the lengths, the directions, the room of the kernel and of the reader."""
    with session(certificates, 4096) as ends:
        sent, heard = [b"", b""], [b"", b""]
        for number, (answers, length) in enumerate(sends):
            way = int(answers)
            data = bytes([number]) * length
            while True:
                try:
                    assert ends[way].send(data) == length
                    break
                except BlockingIOError:
                    assert ends[way].unsent
                    heard[not way] += received(ends[not way], size)
            sent[way] += data
        while any(len(heard[not way]) < len(sent[way]) for way in (0, 1)):
            for way in (0, 1):
                ends[way].flush()
                heard[way] += received(ends[way], size)
        assert heard == sent[::-1]


def test_a_record_may_hold_more_than_a_read_takes(certificates: Certificates) -> None:
    with session(certificates) as (client, server):
        client.send(b"x" * 5000)
        assert server.receive([bytearray(2000)]) == 2000
        assert server.pending
        assert received(server, 100) == b"x" * 3000
        assert not server.pending


def test_what_the_kernel_does_not_take_waits_as_ciphertext(certificates: Certificates) -> None:
    """All is taken at once or nothing is, so whoever sends knows what is still to be sent."""
    data = os.urandom(1 << 20)
    with session(certificates, 4096) as (client, server):
        assert client.send(data) == len(data)
        assert client.unsent
        with pytest.raises(BlockingIOError):
            client.send(b"more")
        heard = b""
        while client.unsent:
            heard += received(server)
            client.flush()
        client.send(b"more")
        while len(heard) < len(data) + 4:
            heard += received(server)
        assert heard == data + b"more"


def test_a_notified_close_is_the_end_behind_what_was_sent(certificates: Certificates) -> None:
    with session(certificates) as (client, server):
        client.send(b"last")
        client.notify_close()
        assert server.receive([bytearray(10)]) == 4
        assert ended(server)
        # TLS closes each direction by itself.
        server.send(b"answer")
        assert received(client) == b"answer"


def test_an_end_without_notice_is_the_end(certificates: Certificates) -> None:
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), client_context(certificates.ca, verify=True), "localhost")
        server = Tls(theirs.fileno(), server_context(certificates.both, certificates.both))
        shake(client, server)
        client.send(b"last")
        ours.shutdown(socket.SHUT_WR)
        assert server.receive([bytearray(10)]) == 4
        assert ended(server)


def test_a_close_is_not_notified_behind_ciphertext_that_waits(certificates: Certificates) -> None:
    with session(certificates, 4096) as (client, server):
        client.send(bytes(1 << 20))
        waiting = client.unsent
        client.notify_close()
        assert client.unsent == waiting
        heard = b""
        while client.unsent:
            heard += received(server)
            client.flush()
        while len(heard) < 1 << 20:
            heard += received(server)
        assert not ended(server)


def test_to_notify_a_session_that_is_gone_does_no_harm(certificates: Certificates) -> None:
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), client_context(certificates.ca, verify=True), "localhost")
        server = Tls(theirs.fileno(), server_context(certificates.cert, certificates.key))
        shake(client, server)
        theirs.close()
        client.send(b"nobody hears it")
        client.notify_close()
        client.notify_close()


def test_a_session_that_is_gone_is_lost(certificates: Certificates) -> None:
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), client_context(certificates.ca, verify=True), "localhost")
        server = Tls(theirs.fileno(), server_context(certificates.cert, certificates.key))
        shake(client, server)
        server.send(b"x")
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        with pytest.raises(ConnectionResetError):
            while True:
                received(client)
        with pytest.raises(BrokenPipeError):
            client.send(b"x")


@pytest.mark.parametrize(
    "garbage",
    [b"PING" * 100, b"\x17\x03\x03\x00\x10" + bytes(16), b"\x16\x03\x01\xff\xff"],
    ids=["text", "data before its time", "a record that is too long"],
)
def test_garbage_is_an_error_of_tls(certificates: Certificates, garbage: bytes) -> None:
    """It is never taken for an error number of the kernel's, though the library's errors have numbers too."""
    with sockets() as (ours, theirs):
        server = Tls(theirs.fileno(), server_context(certificates.cert, certificates.key))
        ours.send(garbage)
        with pytest.raises(TlsError) as failure:
            while True:
                server.handshake()
        assert failure.value.errno == errno.EBADMSG
        assert failure.value.strerror


def test_what_was_changed_on_the_way_is_an_error_of_tls(certificates: Certificates) -> None:
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), client_context(certificates.ca, verify=True), "localhost")
        server = Tls(theirs.fileno(), server_context(certificates.cert, certificates.key))
        shake(client, server)
        ours.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(TlsError, match="decryption failed or bad record mac"):
            received(server)


def test_a_handshake_that_is_ended_is_told_from_one_that_fails(certificates: Certificates) -> None:
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), client_context(certificates.ca, verify=True), "localhost")
        assert not client.handshake()
        assert not client.handshake()
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            while True:
                client.handshake()


@pytest.mark.parametrize(
    ("ca", "shown", "name", "why"),
    [
        ("ca", "wrong", "localhost", "certificate verify failed: Hostname mismatch, certificate is not valid for "),
        ("ca", "wrong", "127.0.0.1", "certificate verify failed: IP address mismatch, certificate is not valid for "),
        ("ca", "both", "127.0.0.2", "certificate verify failed: IP address mismatch"),
        ("stranger", "both", "localhost", "certificate verify failed: unable to get local issuer certificate"),
        (None, "both", "localhost", "certificate verify failed: "),
    ],
)
def test_a_certificate_that_does_not_do_is_refused(
    certificates: Certificates, ca: str | None, shown: str, name: str, why: str
) -> None:
    """The words say what is wrong, and the other end is told as well."""
    file = getattr(certificates, shown)
    with sockets() as (ours, theirs):
        trusted = getattr(certificates, ca) if ca else None
        client = Tls(ours.fileno(), client_context(trusted, verify=True), name)
        server = Tls(theirs.fileno(), server_context(file, file))
        with pytest.raises(TlsError) as failure:
            shake(client, server)
        assert str(failure.value.strerror).startswith(why)
        with pytest.raises(TlsError, match="alert"):
            while server.handshake():
                server.receive([bytearray(10)])


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_name_and_an_address_are_verified_as_what_they_are(certificates: Certificates, name: str) -> None:
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), client_context(certificates.ca, verify=True), name)
        shake(client, Tls(theirs.fileno(), server_context(certificates.cert, certificates.key)))


def test_nothing_is_verified_where_that_is_asked_for(certificates: Certificates) -> None:
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), client_context(None, verify=False), "localhost")
        shake(client, Tls(theirs.fileno(), server_context(certificates.wrong, certificates.wrong)))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_either_version_is_spoken(certificates: Certificates, version: ssl.TLSVersion) -> None:
    context = certificates.client()
    context.maximum_version = context.minimum_version = version
    with sockets() as (ours, theirs):
        client = Tls(ours.fileno(), context, "localhost")
        server = Tls(theirs.fileno(), server_context(certificates.cert, certificates.key))
        shake(client, server)
        client.send(b"hello")
        assert received(server) == b"hello"


FILES: list[tuple[str, Callable[[Path, Certificates], str], str]] = [
    ("a file that is missing", lambda path, _: str(path / "none"), "No such file or directory"),
    ("a directory", lambda path, _: str(path), "cannot be used|no certificate and its key"),
    ("an empty file", lambda path, _: _written(path, b""), "cannot be used|no certificate and its key"),
    ("garbage", lambda path, _: _written(path, b"\0garbage\n"), "cannot be used|no certificate and its key"),
    ("a key", lambda _, certificates: certificates.key, "cannot be used|no certificate and its key"),
]


def _written(directory: Path, data: bytes) -> str:
    (directory / "file.pem").write_bytes(data)
    return str(directory / "file.pem")


@pytest.mark.parametrize(("made", "why"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_files_that_do_not_do_are_refused_by_name(
    certificates: Certificates, tmp_path: Path, made: Callable[[Path, Certificates], str], why: str
) -> None:
    file = made(tmp_path, certificates)
    for use in (
        lambda: client_context(file, verify=True),
        lambda: server_context(file, certificates.key),
        *((lambda: server_context(certificates.cert, file),) if file != certificates.key else ()),
    ):
        with pytest.raises(UsageError, match=why) as refusal:
            use()
        assert file in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_key_of_another_certificate_is_refused(certificates: Certificates) -> None:
    with pytest.raises(UsageError, match="key values mismatch"):
        server_context(certificates.cert, certificates.wrong)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(certificates: Certificates) -> None:
    with pytest.raises(UsageError, match="has a password; `openssl pkey -in"):
        server_context(certificates.cert, certificates.locked)


@pytest.mark.parametrize("name", ["www.example.com", "localhost", "192.0.2.1", "::1", "b\u00fccher.example"])
def test_a_name_that_can_be_verified_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", ".example.com", "a..b", "x" * 64 + ".com"])
def test_a_name_that_cannot_be_verified_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a server; write one like"):
        check_name(name)


@pytest.mark.usefixtures("run")
async def test_handshakes_take_turns_with_everything_else() -> None:
    """One step after the other, a step of another job between any two, and one that is a bug ends none of the rest."""
    reactor, order = Reactor(), []

    class Session:
        def __init__(self, name: str) -> None:
            self.name = name

        def go_on(self) -> None:
            order.append(self.name)
            if self.name == "c":
                raise ZeroDivisionError
            if self.name == "b":
                handshakes.add(Session("e"))

    def others() -> Generator[None, None, None]:
        for _ in range(6):
            order.append("-")
            yield

    handshakes = Handshakes(reactor)
    for name in "abcd":
        handshakes.add(Session(name))
    reactor.start(others())

    async def all_had() -> bool:
        return len(order) == 11

    try:
        await until(all_had)
        handshakes.add(Session("f"))

        async def had() -> bool:
            return order[-1] == "f"

        await until(had)
    finally:
        reactor.close()
    assert order == [*"a-b-c-d-e--", "f"]
