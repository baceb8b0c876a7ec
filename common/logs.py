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


class _RateLimit:
    """At most _MOST records of each level a second."""

    def __init__(self) -> None:
        self._seconds: dict[int, int] = {}
        self._counts: dict[int, int] = {}

    def left_out(self, level: int) -> int | None:
        """Return how many were left out before the one that comes now, or None if it is left out as well."""
        second, count = int(monotonic()), self._counts.get(level, 0)
        if self._seconds.get(level) == second:
            self._counts[level] = count + 1
            return 0 if count < _MOST else None
        self._seconds[level] = second
        self._counts[level] = 1
        return max(0, count - _MOST)


class TextHandler(logging.Handler):
    """Records as lines for a function that shows or drops them, but for those of one logger."""

    def __init__(self, show: Callable[[str], object], level: int, form: str, without: str = "") -> None:
        super().__init__(level)
        self._show = show
        self._without = without
        self._limit = _RateLimit()
        self.setFormatter(logging.Formatter(form))

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record as whole lines, behind the number of those like it that were left out."""
        if record.name == self._without:
            return
        left_out = self._limit.left_out(record.levelno)
        if left_out is not None:
            note = f"({left_out} lines like the next one were left out)\n" if left_out else ""
            self._show(f"{note}{self.format(record)}\n")


class Logs:
    """The handlers of one process: `debug` switches the debug output shown on the console."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._logger = logging.getLogger(ROOT)
        self._logger.propagate = False
        self._console = TextHandler(show, logging.WARNING, "%(message)s", without=COMMANDS)
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
