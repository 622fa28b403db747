"""`giftsync status` and `giftsync resume`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from cli.build import SIDES, build_worker, now, open_ledger
from cli.looks import look_lines, looks_json
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output
from cli.session import load_settings, opened_sides, report_closed
from cli.show import exit_code_of, show_status, status_json
from sync.feeds import subscriptions
from sync.ledger import views
from sync.ledger.incoming.looks import looks
from sync.reconcile.brakes import STOPPING, stopped_by
from sync.support import settle


def status(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """The ledger at a glance."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger:
        found = views.status(ledger.engine, now())
        looked = looks(ledger.engine)
        stops = stopped_by(ledger.engine)
        webhooks = {name: line for name in SIDES if (line := subscriptions.words(ledger.engine, name))}
    for words in stops:
        output.say(f"STOPPED: {words}")
    show_status(found, look_lines(looked, settings, now()), webhooks, settings.link.zone, output)
    code = exit_code_of(found, failed=found.last_run_outcome == "failed")
    output.emit(
        "status",
        {
            **status_json(found),
            "looks": looks_json(looked, settings),
            "stopped_by": stops,
            "webhooks": webhooks,
        },
        code,
    )
    return code


def resume(
    why: Annotated[str, typer.Option(help="What you found; it is kept with the conflict.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let a link that a brake has stopped go on."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        brakes = [
            one for one in views.list_conflicts(ledger.engine) if one.kind in STOPPING and one.card_id is None
        ]
        if brakes:
            link = build_worker(settings, ledger, sides, report_closed).link
            said = settle.Resolution(settle.Action.ACKNOWLEDGE, getpass.getuser(), why)
            for one in brakes:
                settle.resolve(link, one.id, said)
    output.say(f"Resumed: {len(brakes)} brake(s) released." if brakes else "The link was not stopped.")
    output.emit("resume", {"released": len(brakes)})
    return ExitCode.IN_STEP
