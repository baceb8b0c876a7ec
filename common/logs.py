"""Warnings, debug output and the log file: one logger, at a bounded rate.

DEBUG    every session's opening, data and end, asked for with `debug`
INFO     commands, changes of state and losses: for the log file
WARNING  what the operator must know: said above the prompt as well
ERROR    a bug, with its traceback
"""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Final

ROOT: Final = "sessioner"

# Commands are for the log file alone: whoever looks at the console has typed them.
COMMANDS: Final = "sessioner.commands"

# Records a second, by level, that are shown; the rest are counted. A terminal takes so many without falling behind.
_MOST: Final = 200


class RateLimit(logging.Filter):
    """At most _MOST records of each level a second; the next one after that tells how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[int, int] = {}
        self._counts: dict[int, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record may be shown."""
        level, second = record.levelno, int(monotonic())
        count = self._counts.get(level, 0)
        if self._seconds.get(level) != second:
            self._seconds[level] = second
            left_out = count - _MOST
            count = 0
            if left_out > 0:
                record.msg = f"({left_out} lines like the next one were left out)\n{record.msg}"
        self._counts[level] = count + 1
        return count < _MOST


class TextHandler(logging.Handler):
    """Records as lines for a function that shows or drops them."""

    def __init__(self, show: Callable[[str], object], level: int, form: str) -> None:
        super().__init__(level)
        self._show = show
        self.setFormatter(logging.Formatter(form))
        self.addFilter(RateLimit())

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record as whole lines."""
        self._show(self.format(record) + "\n")


class Logs:
    """The handlers of one process: `debug` switches the debug output shown on the console."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._logger = logging.getLogger(ROOT)
        self._logger.propagate = False
        self._console = TextHandler(show, logging.WARNING, "%(message)s")
        self._console.addFilter(lambda record: record.name != COMMANDS)
        self._file: TextHandler | None = None
        self._logger.addHandler(self._console)
        self._set_level()

    @property
    def debug(self) -> bool:
        """Whether debug output is shown."""
        return self._console.level <= logging.DEBUG

    def set_debug(self, enabled: bool) -> None:
        """Show debug output on the console, or stop it."""
        self._console.setLevel(logging.DEBUG if enabled else logging.WARNING)
        self._set_level()

    def write_to(self, show: Callable[[str], object]) -> None:
        """Give everything from INFO up, with timestamps, to a function that writes the log file."""
        self._file = TextHandler(show, logging.INFO, "%(asctime)s %(levelname)s %(message)s")
        self._logger.addHandler(self._file)
        self._set_level()

    def close(self) -> None:
        """Take the handlers away."""
        for handler in (self._console, self._file):
            if handler:
                self._logger.removeHandler(handler)

    def _set_level(self) -> None:
        """Let the logger refuse, at the cost of one comparison, what no handler would show."""
        self._logger.setLevel(min(handler.level for handler in (self._console, self._file) if handler))
