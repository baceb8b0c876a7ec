"""The life of a daemon's process, from its options to its exit code."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from common.commands import Command, Registry
from common.errors import SessionerError, UsageError
from common.files import read_text
from common.logs import Logs
from common.options import Process
from common.output import Output
from common.pipe import Pipe
from common.runtime import LOOPS, settle_collector
from common.shell import Shell, Sink, is_comment
from common.system import raise_descriptor_limit
from common.workers.process import come_before_workers

log = logging.getLogger("sessioner")

INTERRUPTED: Final = 130

_STREAMS: Final = (0, 1, 2)

# Seconds that the end waits for a terminal or a pipe to take what is still to be shown.
_LAST_WORDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    """What a daemon is at its console: its first line, its commands, its toolbar, the addresses to complete."""

    greeting: str
    commands: list[Command]
    toolbar: Callable[[], Awaitable[str]]
    addresses: Callable[[], Awaitable[list[str]]]


class Console(Sink, Protocol):
    """Where lines come from, and their text goes: a terminal's prompt or a pipe."""

    def serve(self, toolbar: Callable[[], Awaitable[str]], addresses: Callable[[], Awaitable[list[str]]], /) -> None:
        """Take the toolbar's text, and the addresses to complete, from these."""

    async def greet(self, text: str) -> None:
        """Show the first line."""

    async def run(self) -> None:
        """Carry out the lines until there are no more."""

    def interrupt(self) -> bool:
        """Take a Ctrl-C, or return False for one that ends the process."""


Start = Callable[[Shell, Logs], contextlib.AbstractAsyncContextManager[Service]]


def run(name: str, process: Process, start: Start) -> int:
    """Run a daemon to its end, and return the exit code of its process."""
    warning = None if process.no_ulimit else raise_descriptor_limit()
    if process.workers != 1 and not process.fleet:
        come_before_workers()
    _open_standard_streams()
    blocking = {descriptor: os.get_blocking(descriptor) for descriptor in _STREAMS}
    try:
        with asyncio.Runner(loop_factory=LOOPS[process.loop]) as runner:
            return runner.run(_live(name, process, start, warning))
    except KeyboardInterrupt:
        # A Ctrl-C during the start, before `_until_stopped` takes them: the loop has cancelled what was under way.
        return INTERRUPTED
    finally:
        # The loop made the terminal, which is shared with the shell that started us, non-blocking.
        for descriptor, was in blocking.items():
            os.set_blocking(descriptor, was)


async def _live(name: str, process: Process, start: Start, warning: str | None) -> int:
    with contextlib.ExitStack() as stack:
        output, errors = _output(stack, 1), _output(stack, 2)
        shell = Shell()
        console = _console(name, shell, output, errors)
        shell.sink = console
        logs = Logs(console.note)
        stack.callback(logs.close)
        try:
            if process.log:
                logs.write_to(_log_file(stack, process.log).note)
            logs.set_debug(process.debug)
            script = _read_script(process.script)
            if warning:
                log.warning("%s", warning)
            settle_collector()
            async with start(shell, logs) as service:
                shell.registry = Registry(service.commands)
                console.serve(service.toolbar, service.addresses)
                await console.greet(f"{service.greeting}\n")
                talk = _converse(process, script, shell, console)
                stopped = await _until_stopped(talk, console.interrupt)
                return shell.exit_code if stopped is None else stopped
        except SessionerError as error:
            errors.write(f"sessioner_{name}: {error}\n")
            return error.exit_code


async def _converse(process: Process, script: list[str] | None, shell: Shell, console: Console) -> None:
    """Carry out what the options say, then what is typed or piped."""
    await _carry_out(shell, process.execute, followed=True)
    if script is not None:
        await _carry_out(shell, script, followed=False)
        if not shell.prompt_asked:
            return
    if shell.leaving:
        return
    if process.no_prompt:
        await asyncio.get_running_loop().create_future()
    await console.run()


async def _carry_out(shell: Shell, lines: list[str], *, followed: bool) -> None:
    """Carry out lines one after the other, the last of which is or is not followed by others."""
    for number, line in enumerate(lines, 1):
        if shell.leaving:
            return
        if number < len(lines) or followed:
            shell.further_line.set()
        else:
            shell.further_line.clear()
        await shell.execute(line)
    shell.further_line.clear()


async def _until_stopped(work: Awaitable[None], interrupt: Callable[[], bool]) -> int | None:
    """Await some work, or a signal to leave; return the exit code that the signal makes, or None without one.

    SIGINT is a signal to leave unless `interrupt` takes it as the Ctrl-C that it is at a prompt.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)

    def stop_unless_taken() -> None:
        if not interrupt():
            stop(INTERRUPTED)

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, 0)
    loop.add_signal_handler(signal.SIGINT, stop_unless_taken)
    working = asyncio.ensure_future(work)
    await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        return stopped.result()
    stopped.cancel()
    working.result()
    return None


def _console(name: str, shell: Shell, output: Output, errors: Output) -> Console:
    if not (os.isatty(0) and os.isatty(1)):
        return Pipe(0, shell, output, errors)
    from common.terminal import Terminal  # not above: it takes a third of the start, and scripts have none

    return Terminal(name, shell, output)


def _output(stack: contextlib.ExitStack, descriptor: int) -> Output:
    output = Output(descriptor)
    stack.callback(output.close, _LAST_WORDS)
    return output


def _log_file(stack: contextlib.ExitStack, path: Path) -> Output:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as failure:
        raise UsageError(f"log file {path} cannot be written: {failure.strerror}") from None
    stack.callback(os.close, descriptor)
    return _output(stack, descriptor)


def _read_script(path: Path | None) -> list[str] | None:
    """Return the lines of a script without blank ones and comments."""
    if path is None:
        return None
    lines = read_text(path, "script").splitlines()
    return [line for line in lines if line.strip() and not is_comment(line)]


def _open_standard_streams() -> None:
    """Put nothing where a standard stream was closed, or the loop's own descriptors would be taken for it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) in _STREAMS:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
