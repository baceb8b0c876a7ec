"""The sink behaviour: what a client sends is discarded, as fast as it comes."""

import os
from socket import AF_INET, MSG_TRUNC, SOCK_STREAM, SocketType

from responder.behaviours.behaviour import Behaviour


class Sink(Behaviour):
    """Nobody looks at what is discarded, so the kernel need not even copy it."""

    mode = "sink"
    buffer = 1 << 18

    def _receive(self, descriptor: int, buffers: list[bytearray]) -> int:  # type: ignore[override]
        """Discard as much as the buffer holds, and return how much it was; where traffic is watched, read it.

        With MSG_TRUNC the kernel drops what a TCP socket has received, and leaves the buffer alone: tcp(7).
        """
        if self._watch.on:
            return os.readv(descriptor, buffers)
        sock = SocketType(AF_INET, SOCK_STREAM, 0, descriptor)
        try:
            return sock.recv_into(self._buffer, self.buffer, MSG_TRUNC)
        finally:
            sock.detach()
