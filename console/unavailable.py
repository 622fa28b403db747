"""Why the console cannot be served; apart from the server, which whoever explains errors does not need."""

from __future__ import annotations


class ConsoleUnavailable(Exception):
    """The console cannot be served; the message says why and what to do."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        #: As the operating system calls it.
        self.errno = number
