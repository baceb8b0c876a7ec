"""TLS over a bare non-blocking descriptor: contexts, what goes over one session, and handshakes in slices."""

import errno
import os
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Final, Protocol

from common.errors import UsageError
from common.reactor import Job, Reactor

# Ciphertext taken by one read: a record of the largest size (RFC 8446, 5.2), for what a session has in store once it
# keeps the memory of. One buffer serves all: what is read goes at once to the session that it is for.
_BUFFER: Final = bytearray((1 << 14) + 256 + 5)
_BUFFERS: Final = [_BUFFER]
_VIEW: Final = memoryview(_BUFFER)

# Where a peer asks for the handshake anew it is refused: RFC 5746, and gone from TLS 1.3.
_OPTIONS: Final = ssl.OP_NO_RENEGOTIATION


class TlsError(OSError):
    """What TLS does not bear: `errno` is EBADMSG, by which the kernel's own TLS says the same, `strerror` the words."""

    def __init__(self, failure: ssl.SSLError) -> None:
        super().__init__(errno.EBADMSG, _words(failure))


@cache
def client_context(ca: str | None, verify: bool) -> ssl.SSLContext:
    """Return what all sessions that are opened with TLS share; it trusts the system's authorities, or those in a file.

    Whoever asks again gets the same: the system's authorities take up to a quarter of a second to load. Raises
    UsageError for a file that has none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options |= _OPTIONS
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(ca)
        except OSError as failure:
            raise UsageError(f"file {ca} cannot be used as certificates to be trusted: {_words(failure)}") from None
    return context


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return what all sessions that are accepted with TLS share; both files may be the same.

    Raises UsageError for files that do not do.
    """

    def refuse() -> str:
        raise UsageError(f"the key in {key} has a password; `openssl pkey -in {key}` writes it without")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= _OPTIONS
    try:
        context.load_cert_chain(certificate, key, refuse)
    except OSError as failure:
        raise UsageError(f"no certificate and its key in {certificate} and {key}: {_words(failure)}") from None
    return context


def check_name(name: str) -> str:
    """Return the name of a server if one can be verified by it; raises UsageError."""
    try:
        name.encode("idna")
    except UnicodeError:
        name = ""
    if not name or name.startswith("."):
        raise UsageError("that is no name of a server; write one like www.example.com or 192.0.2.1")
    return name


def _words(failure: OSError) -> str:
    """Return what went wrong as one line without the places in the library's sources."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError):
        return (failure.reason or "unknown error").replace("_", " ").lower()
    return failure.strerror or str(failure)


class Tls:
    """One session's TLS. The descriptor belongs to somebody else, and plaintext is nowhere kept.

    `unsent` is ciphertext that the kernel did not take: it goes out by `flush`, when the descriptor is writable.
    """

    __slots__ = ("_descriptor", "_incoming", "_outgoing", "_ssl", "unsent")

    def __init__(self, descriptor: int, context: ssl.SSLContext, name: str | None = None) -> None:
        """Begin as a client that expects a server of this name, or, without any, as the context says."""
        self._descriptor = descriptor
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.protocol is ssl.PROTOCOL_TLS_SERVER
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server, name)
        self.unsent = b""

    @property
    def pending(self) -> bool:
        """Whether something has come that nobody has received: epoll does not tell."""
        return bool(self._incoming.pending or self._ssl.pending())

    def handshake(self) -> bool:
        """Go on as far as what has come allows; return whether the handshake is done.

        Raises EOFError when the peer ends it, TlsError when it fails, OSError when the session is lost.
        """
        while True:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
            except ssl.SSLError as failure:
                raise self._failed(failure) from None
            else:
                self.flush()
                return True
            try:
                if not self._fill():
                    raise EOFError
            except BlockingIOError:
                return False

    def send(self, data: bytes | memoryview) -> int:
        """Take all data, and return how much it was; raises BlockingIOError when earlier data waits, OSError."""
        if self.unsent:
            self.flush()
            if self.unsent:
                raise BlockingIOError
        size, rest = len(data), memoryview(data)
        try:
            while rest:
                # One record at most.
                rest = rest[self._ssl.write(rest) :]
                if rest:
                    self.unsent += self._outgoing.read()
        except ssl.SSLError as failure:
            raise self._failed(failure) from None
        self.flush()
        return size

    def receive(self, buffers: Sequence[bytearray | memoryview]) -> int:
        """Fill the first buffer with a part of one record at most, and return the bytes, 0 at the end.

        Raises BlockingIOError when there is nothing, and only then nothing is left; TlsError, OSError.
        """
        (buffer,) = buffers
        count: int | None = None
        while count is None:
            if not self.pending and not self._fill():
                return 0
            try:
                count = self._ssl.read(len(buffer), buffer)  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                # A part of a record, or what TLS has to say itself: tickets, new keys.
                if not self._fill():
                    return 0
            except ssl.SSLZeroReturnError:
                return 0
            except ssl.SSLError as failure:
                raise self._failed(failure) from None
            if self._outgoing.pending:
                self.flush()
        return count

    def flush(self) -> None:
        """Give the kernel the ciphertext that waits, or a part of it; raises OSError when the session is lost."""
        data = self.unsent + self._outgoing.read()
        if not data:
            return
        try:
            taken = os.write(self._descriptor, data)
        except BlockingIOError:
            taken = 0
        self.unsent = data[taken:]

    def notify_close(self) -> None:
        """Tell the peer that nothing more will be sent, if that can be told at once: RFC 8446, 6.1."""
        if self.unsent:
            return
        with suppress(OSError):
            self._ssl.unwrap()
        with suppress(OSError):
            self.flush()

    def _fill(self) -> int:
        """Take ciphertext from the kernel, and return how much, 0 at the end; raises BlockingIOError, OSError."""
        count = os.readv(self._descriptor, _BUFFERS)
        self._incoming.write(_VIEW[:count])
        return count

    def _failed(self, failure: ssl.SSLError) -> TlsError:
        """Return the error to raise; the peer is told by an alert, if that can be told at once."""
        with suppress(OSError):
            self.flush()
        return TlsError(failure)


class Shaking(Protocol):
    """A session whose handshake is under way."""

    def go_on(self) -> None:
        """Go on with the handshake, if it is still under way; a step takes up to milliseconds."""


class Handshakes:
    """Handshakes that something has come for: one step after the other, with everybody else's turn between them."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._waiting: deque[Shaking] = deque()
        self._running = False

    def add(self, session: Shaking) -> None:
        """Go on with a session's handshake when its turn comes."""
        self._waiting.append(session)
        if not self._running:
            self._running = True
            self._reactor.start(self._steps())

    def _steps(self) -> Job:
        try:
            while self._waiting:
                self._waiting.popleft().go_on()
                yield
        except Exception:
            # The reactor says so and drops this job; the others that wait go on.
            self._reactor.start(self._steps())
            raise
        self._running = False
