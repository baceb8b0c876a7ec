"""The echo behaviour: what a client sends goes back to it, byte for byte, no faster than it reads."""

from responder.behaviours.behaviour import Behaviour
from responder.client import Client


class Echo(Behaviour):
    """A client keeps only what the kernel did not take, and is not read until that is gone."""

    mode = "echo"

    def _took(self, client: Client, count: int) -> bool:
        """Send back; what the kernel does not take waits for room, and reading with it.

        This is `_send` without the call, for it is most of what we add to the two system calls of an echo.
        """
        try:
            taken = self._transmit(client.descriptor, self._view[:count])
        except BlockingIOError:
            taken = 0
        self.sent += taken
        client.listener.sent += taken
        if taken and self._watch.on:
            self._watch.sent(client, self._view[:taken])
        if taken == count:
            return True
        client.unsent = bytes(self._view[taken:count])
        self._register(client)
        return False
