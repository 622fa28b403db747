"""`giftsync worker`: one of any number of workers that share the links of a fleet."""

from __future__ import annotations

import logging
import resource
from contextlib import ExitStack
from typing import Annotated, TypedDict

import psycopg
import typer

from cli.commands.links import FleetOption
from cli.crew import Roster
from cli.errors import OperatorError
from cli.fleet import FLEET_DEFAULT, Fleet
from cli.options import JsonOption, MetricsPortOption
from cli.output import ExitCode, Output
from cli.signals import stop_on_signals
from config.logging import configure_logging
from config.settings import Settings
from sync.ledger.database.engine import sharing_connections

#: For all ledgers, beside the queue's: transactions are short, and a server has 100 for everybody.
LEDGER_CONNECTIONS = 10


class WorkerAnswer(TypedDict):
    """A worker of a fleet that was stopped."""

    #: Whether all that was under way came to its end.
    drained: bool
    #: How many turns it took.
    turns: int


def worker(
    fleet: FleetOption = FLEET_DEFAULT,
    turns: Annotated[int, typer.Option(min=1, max=64, help="How many turns it takes at the same time.")] = 8,
    metrics_port: MetricsPortOption = None,
    as_json: JsonOption = False,
) -> int:
    """Work on the links of a fleet, whose ledgers are in one PostgreSQL, beside other workers on any machine:
    one JSON log line for each thing that happens, on standard error.
    """
    output = Output(as_json)
    secrets: list[str] = []
    configure_logging(level="INFO", secrets=secrets)
    # What these have to say is said by the turns, in our words.
    for library in ("procrastinate", "psycopg", "sqlalchemy", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)

    def hide(settings: Settings) -> None:
        new = [one for one in settings.secrets() if one not in secrets]
        if new:
            secrets.extend(new)
            configure_logging(level="INFO", secrets=secrets)

    roster = Roster(Fleet(fleet), output.note, hide)
    if not roster.versions() or roster.database is None:
        raise OperatorError(
            f"no link in {fleet} keeps its ledger in PostgreSQL",
            "`giftsync links add NAME --postgres ADDRESS` makes one. `giftsync run` works on a file.",
        )
    # The engine takes a moment to import, which other commands need not wait for.
    from sync.fleet.crew import Crew
    from sync.fleet.queue import TurnQueue

    allow_many_files()
    queue = TurnQueue(roster.database)
    with stop_on_signals(output.note) as stop, sharing_connections(LEDGER_CONNECTIONS):
        try:
            queue.open()
        except psycopg.Error as error:
            raise OperatorError(
                "the database does not answer", "Check `database` in the settings."
            ) from error
        crew = Crew(queue, roster.opened, roster.versions, turns)
        with ExitStack() as stack:
            if metrics_port is not None:
                # Only whoever serves them pays for what counts and draws them.
                from cli.fleet_metrics import FleetMetrics

                stack.enter_context(FleetMetrics(roster, crew).served(metrics_port, output))
            output.note(f"Working on the links in {fleet}; Ctrl-C stops.")
            drained = crew.run(stop)
        queue.close()
    output.note("Stopped." if drained else "Stopped; another worker goes on with what was under way.")
    output.emit("worker", WorkerAnswer(drained=drained, turns=crew.taken))
    return ExitCode.IN_STEP if drained else ExitCode.FAILED


def allow_many_files() -> None:
    """Open as many files as the system lets this process: each open link keeps a connection to each side."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
