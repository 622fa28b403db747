"""Who did what, what the worker ran, and what the sides delivered."""

from __future__ import annotations

from starlette.responses import Response

from console.visit import Page, Visit
from sync.ledger import views
from sync.ledger.incoming.deliveries import newest_deliveries
from sync.support.people import Role

DEEDS_SHOWN = 50
RUNS_SHOWN = 15
DELIVERIES_SHOWN = 20


def show(visit: Visit) -> Response:
    text = visit.asked("before")
    before = int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None
    found = list(visit.console.people.book.newest_deeds(DEEDS_SHOWN + 1, before))
    engine = visit.link.store.engine
    return visit.render(
        "activity.html",
        deeds=found[:DEEDS_SHOWN],
        before=found[DEEDS_SHOWN - 1].id if len(found) > DEEDS_SHOWN else None,
        runs=views.newest_runs(engine, RUNS_SHOWN),
        deliveries=newest_deliveries(engine, DELIVERIES_SHOWN),
        webhooks=visit.console.pulse.picture().standing.webhooks,
        works=visit.console.pulse.picture().standing.worker_runs,
        now=visit.now,
    )


def show_csv(visit: Visit) -> Response:
    head = ("when", "who", "did", "about")
    found = visit.console.people.book.newest_deeds(100_000)
    return visit.csv(
        "activity.csv", [head, *((visit.words.exact(d.at), d.by, d.action, d.about) for d in found)]
    )


PAGES = (
    Page("/activity", show, needs=Role.SUPPORT),
    Page("/activity/export.csv", show_csv, needs=Role.SUPPORT),
)
