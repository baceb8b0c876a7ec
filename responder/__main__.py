"""The entry point of sessioner_responder."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext

from common.daemon import Service, run
from common.fleet.console import Fleet
from common.logs import Logs
from common.shell import Shell
from common.system import read_system
from responder.cli import Options, parse_options
from responder.commands import Commands
from responder.render import greeting_text, toolbar_text
from responder.workers import AnyEngine, open_engine


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a responder to its end."""
    options = parse_options(arguments)

    @asynccontextmanager
    async def start(shell: Shell, logs: Logs) -> AsyncIterator[Service]:
        opened = open_engine(options.settings, options.process)
        async with aclosing(await opened) as engine, _exporting(options, engine):
            for endpoint, mode in options.listen:
                await engine.add_listeners(endpoint, mode)

            async def toolbar() -> str:
                return toolbar_text(await engine.snapshot())

            settings = await engine.settings() if isinstance(engine, Fleet) else options.settings
            greeting = greeting_text(await engine.snapshot(), settings, read_system().somaxconn)
            if isinstance(engine, Fleet):
                engine.ends = False
            yield Service(greeting, Commands(engine, shell, logs).rows(), toolbar, engine.listener_names)

    sys.exit(run("responder", options.process, start))


def _exporting(options: Options, engine: AnyEngine) -> AbstractAsyncContextManager[None]:
    if not options.exporters.any:
        return nullcontext()
    from responder.exporters import exporting  # not above: it takes long, and few ask for it

    return exporting(options.exporters, engine, attached=options.process.attach is not None)


if __name__ == "__main__":
    main()
