"""The serve behaviour: a client is read to the end of what it sends, gets an answer, and is closed."""

from common.reactor import Reactor
from responder.behaviours.behaviour import Behaviour, Keeper, Messages
from responder.client import Client
from responder.settings import Settings
from responder.watch import Watch


class Serve(Behaviour):
    """The same answer for all clients; those that have got all of it are no losses."""

    mode = "serve"
    stays = False

    def __init__(self, reactor: Reactor, keeper: Keeper, watch: Watch, settings: Settings) -> None:
        super().__init__(reactor, keeper, watch, settings)
        self._content = Messages(settings.content or b"")

    def _finished(self, client: Client) -> None:
        """Answer."""
        if not self._content:
            self.messages += 1
            client.listener.messages += 1
            self._keeper.served(client)
        elif self._begin(client, self._content):
            self._keeper.served(client)

    def _flush(self, client: Client) -> bool:
        """Send what waits; a client that has got the whole answer is closed, and not read any more."""
        answered = client.unsent is self._content
        if not super()._flush(client):
            return False
        if answered:
            self._keeper.served(client)
        return not answered
