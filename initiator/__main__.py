"""The entry point of sessioner_initiator."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from typing import Final

from common.addresses import Endpoint
from common.daemon import Service, run
from common.fleet.console import Fleet
from common.logs import Logs
from common.shell import Shell
from initiator.cli import Options, parse_options
from initiator.commands import Commands
from initiator.render import greeting_text, toolbar_text
from initiator.sources import check_sources
from initiator.workers import AnyEngine, open_engine
from responder.settings import Settings as ResponderSettings
from responder.workers import AnyEngine as AnyResponder
from responder.workers import open_engine as open_responder

# Listeners that --loopback starts where no target is given.
_LOOPBACK_LISTENERS: Final = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Run an initiator to its end."""
    options = parse_options(arguments)

    @asynccontextmanager
    async def start(shell: Shell, logs: Logs) -> AsyncIterator[Service]:
        if not options.loopback:
            async with _service(options, options.targets, shell, logs) as service:
                yield service
            return
        async with aclosing(await open_responder(ResponderSettings(), options.process)) as responder:
            targets = await _listen(responder, options)
            async with _service(options, targets, shell, logs) as service:
                yield service

    sys.exit(run("initiator", options.process, start))


@asynccontextmanager
async def _service(
    options: Options, targets: list[tuple[Endpoint, int | None]], shell: Shell, logs: Logs
) -> AsyncIterator[Service]:
    if not options.process.fleet:
        check_sources(options.settings.source_ips, options.settings.interface)
    opened = open_engine(options.settings, options.process)
    async with aclosing(await opened) as engine, _exporting(options, engine):
        for endpoint, hashsize in targets:
            await engine.add_targets(endpoint, hashsize)

        async def toolbar() -> str:
            return toolbar_text(await engine.snapshot())

        async def addresses() -> list[str]:
            return [row.target for row in (await engine.target_page(0)).rows]

        commands = Commands(engine, shell, logs, options.hashsize)
        commands.start()
        greeting = greeting_text(await engine.snapshot(), await engine.settings())
        if isinstance(engine, Fleet):
            engine.ends = False
            await commands.adopt(engine)
        yield Service(greeting, commands.rows(), toolbar, addresses)
        await commands.close()


def _exporting(options: Options, engine: AnyEngine) -> AbstractAsyncContextManager[None]:
    if not options.exporters.any:
        return nullcontext()
    from initiator.exporters import exporting  # not above: it takes long, and few ask for it

    return exporting(options.exporters, engine, attached=options.process.attach is not None)


async def _listen(responder: AnyResponder, options: Options) -> list[tuple[Endpoint, int | None]]:
    """Listen on the targets, or on free ports where there are none, and return the targets."""
    if options.targets:
        for endpoint, _hashsize in options.targets:
            await responder.add_listeners(endpoint)
        return options.targets
    free = [await responder.add_listeners(Endpoint("127.0.0.1", 0, 0)) for _ in range(_LOOPBACK_LISTENERS)]
    return [(Endpoint(host, port, port), options.hashsize) for ((host, port),) in free]


if __name__ == "__main__":
    main()
