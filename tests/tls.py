"""What tests of TLS drive it with: certificates, and a peer that is not our own code."""

import asyncio
import socket
import ssl
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support import PATIENCE


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of files: an authority, a certificate for the loopback with its key, and others that do not do.

    `both` has certificate and key in one file, `wrong` is for another host, `stranger` is an authority that has signed
    none of them, `locked` a key with a password.
    """

    ca: str
    cert: str
    key: str
    both: str
    wrong: str
    stranger: str
    locked: str

    def server(self) -> ssl.SSLContext:
        """Return the context of a server that shows the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        """Return the context of a client that trusts the authority."""
        return ssl.create_default_context(cafile=self.ca)


def make_certificates(directory: Path) -> Certificates:
    """Make all of them in a directory, by the openssl program."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, timeout=PATIENCE, check=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=CA:FALSE")
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN=Test {name}")
    for name, hosts in (("server", "DNS:localhost,IP:127.0.0.1,IP:::1"), ("wrong", "DNS:www.example.com")):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        openssl("req", "-x509", *new, *signed, *files, "-subj", f"/CN={name}", "-addext", f"subjectAltName={hosts}")
        (directory / f"{name}.pem").write_bytes(b"".join((directory / file).read_bytes() for file in files[1::2]))
    openssl("pkey", "-in", "server.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key")
    names = ("ca.pem", "server.crt", "server.key", "server.pem", "wrong.pem", "stranger.pem", "locked.key")
    return Certificates(*(str(directory / name) for name in names))


class TlsPeer:
    """One end of a TLS session over a socket that does not block, for a loop."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str | None = None) -> None:
        self.sock = sock
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.protocol is ssl.PROTOCOL_TLS_SERVER
        self.ssl = context.wrap_bio(self._incoming, self.outgoing, server, name)

    async def shake(self) -> Self:
        """Return when the handshake is done."""
        while True:
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                await self._fill()
            else:
                await self.flush()
                return self

    async def send(self, data: bytes) -> None:
        """Send all."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.ssl.write(rest) :]
            await self.flush()

    async def receive(self, count: int = 1 << 40) -> bytes:
        """Return so many bytes, or fewer if the other end sends no more and says so."""
        data = bytearray()
        while len(data) < count:
            try:
                more = self.ssl.read(min(count - len(data), 1 << 16))
            except ssl.SSLWantReadError:
                await self._fill()
                continue
            except ssl.SSLZeroReturnError:
                break
            if not more:
                break
            data += more
        return bytes(data)

    async def notify_close(self) -> None:
        """Say that no more is sent."""
        with suppress(ssl.SSLError):
            self.ssl.unwrap()
        await self.flush()

    async def flush(self) -> None:
        """Give the ciphertext to the kernel."""
        data = self.outgoing.read()
        if data:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def _fill(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
