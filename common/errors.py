"""Errors that are told to the operator as one line.

SessionerError          something could not be done; exit code 1
├── UsageError          a flag or a typed line is wrong and nothing was changed; exit code 2
└── NotMetError         a `wait` ended before what it waited for came about; exit code 3

Anything else that is raised is a bug: it is reported with its traceback, and the daemon goes on.
"""


class SessionerError(Exception):
    """Something that could not be done, told in one line that says what to do next."""

    exit_code = 1


class UsageError(SessionerError):
    """A flag or a typed line that is refused before anything changed."""

    exit_code = 2


class NotMetError(SessionerError):
    """A `wait` that ended before what it waited for came about."""

    exit_code = 3
