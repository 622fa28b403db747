"""The one place where exceptions become a sentence, what to do next, and an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy.exc import SQLAlchemyError

from cli.output import ExitCode, Output
from config.errors import ConfigError
from connectors.api.errors import InDoubt, NotSent, SideClosed, SideError, Throttled
from connectors.bugs import maker
from console.unavailable import ConsoleUnavailable
from mappings.redaction import redact
from sync.importer.problem import FileProblem
from sync.ledger.archive import ArchiveError
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.secrets.vault import VaultError
from sync.model import InvariantBroken


class OperatorError(Exception):
    """Something that the person at the keyboard can put right. `remedy` says how."""

    def __init__(self, message: str, remedy: str = "", code: ExitCode = ExitCode.COULD_NOT_RUN) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.code = code


class ErrorAnswer(TypedDict):
    """What any command prints with `--json` when it fails."""

    #: What happened, in sentences.
    error: str
    #: What to do; may be empty.
    remedy: str


@dataclass(frozen=True)
class Failure:
    """An error as it is shown."""

    messages: tuple[str, ...]
    remedy: str
    code: ExitCode


def explain(error: Exception) -> Failure | None:
    """What to show for an error that an operator can meet; None for a bug."""
    match error:
        case OperatorError():
            return _failure(str(error), error.remedy, error.code)
        case ConfigError():
            return Failure(error.problems, "", ExitCode.COULD_NOT_RUN)
        case LedgerUnavailable() | VaultError() | ArchiveError() | FileProblem() | ConsoleUnavailable():
            return _failure(str(error))
        case SQLAlchemyError():
            # The statement and its parameters are left out: they hold what the ledger seals. So may all that
            # PostgreSQL says after its first line.
            cause = str(getattr(error, "orig", None) or type(error).__name__).partition("\n")[0]
            return _failure(f"the ledger's database failed: {cause}", "Nothing was lost; run it again.")
        case SideClosed():
            return _failure(str(error), error.remedy)
        case NotSent():
            return _failure(str(error), "Check the address in the configuration and the network.")
        case Throttled():
            return _failure(str(error), f"Try again in {error.wait_seconds:.0f} seconds.")
        case InDoubt() | SideError():
            return _failure(str(error), "Try again; if it stays, check the address in the configuration.")
        case InvariantBroken():
            return _failure(f"the ledger contradicts itself: {error}", "Stop, and ask for help.")
    return None


@contextmanager
def naming(side: str) -> Iterator[None]:
    """Put the side's name in front of what it says: most of its sentences do not have it."""
    try:
        yield
    except SideError as error:
        failure = explain(error)
        if failure is None:
            raise
        raise OperatorError(f"{side}: {failure.messages[0]}", failure.remedy) from error


def _failure(message: str, remedy: str = "", code: ExitCode = ExitCode.COULD_NOT_RUN) -> Failure:
    return Failure((message.rstrip("."),), remedy, code)


def report(error: Exception, output: Output) -> ExitCode:
    """Show the error and return the exit code; a bug with its traceback, so that it can be reported."""
    failure = explain(error)
    if failure is None:
        lines = redact("".join(traceback.format_exception(error)))
        output.note(lines.rstrip())
        package = maker(error)
        whose = "giftsync" if package is None else f"the connector {package}"
        to = "" if package is None else " to its makers"
        failure = _failure(
            f"{whose} has a bug ({type(error).__name__})", f"Please report it{to} with the lines above."
        )
    for message in failure.messages:
        output.err.print("error:", style="bold red", end=" ")
        output.note(redact(_sentence(message)))
    if failure.remedy:
        output.note(redact(failure.remedy))
    output.emit(
        "error",
        ErrorAnswer(
            error=redact(" ".join(_sentence(one) for one in failure.messages)),
            remedy=redact(failure.remedy),
        ),
        failure.code,
    )
    return failure.code


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
