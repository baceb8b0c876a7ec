"""A daemon whose toolbar is not known at times: nobody answers, or there is a bug."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from common.daemon import Service, run
from common.errors import SessionerError
from common.logs import Logs
from common.options import Process
from common.shell import Shell

NAME = "tests.daemons.uncertain"


@asynccontextmanager
async def start(_shell: Shell, _logs: Logs) -> AsyncIterator[Service]:
    """Give what is at the console."""
    found: Iterator[str | Exception] = iter(
        ["before", SessionerError("no worker answers"), ZeroDivisionError(), ZeroDivisionError()]
    )

    async def toolbar() -> str:
        text = next(found, "after")
        if isinstance(text, Exception):
            raise text
        return text

    async def addresses() -> list[str]:
        return []

    yield Service("", [], toolbar, addresses)


if __name__ == "__main__":
    sys.exit(run(NAME, Process([], None, False, None, False, True, "uvloop"), start))
