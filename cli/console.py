"""Serves the console, the receiver and the API of a link, and says where they are."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from cli.books import bookkeeper_of
from cli.build import Ledger, brands_of, ledger_name, now, sharing, wants_creates
from cli.errors import OperatorError
from cli.importing import (
    Importers,
    ImportSides,
    context_of,
    import_sides,
    imports_of,
    lister_of,
)
from cli.output import Output
from cli.reader import reader_of_settings
from cli.served import PORT, Restart, Served, parts_on
from cli.settings_desk import LinkDesk
from config.settings import ConsoleSection, Settings
from console.part import Part
from console.receiver import create_receiver
from console.server import serve
from console.unavailable import ConsoleUnavailable
from sync.importer.desk import ImportDesk
from sync.ledger.database.engine import database_file
from sync.ledger.database.only_console import only_console
from sync.ledger.totals import Totals, read_totals
from sync.standing import Standing, read_standing
from sync.support.cases import places_of
from sync.support.people import People, Role
from sync.worker.worker import Worker

if TYPE_CHECKING:
    from console.request_metrics import RequestMetrics
    from console.visit import Console
    from sync.support.oidc import OidcSignIn


#: A process that takes the place of another waits so long for that one to end.
HANDED_OVER_SECONDS = 10.0


@dataclass(frozen=True)
class Web:
    """What is served of one link, built and not served yet."""

    app: ASGIApp
    parts: frozenset[Part]
    shows_balances: bool
    console: Console | None
    desk: ImportDesk
    keeper: LinkDesk

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """What works beside the pages, while the block runs."""
        if self.console is None:
            yield
            return
        with ExitStack() as stack:
            stack.callback(self.desk.close)
            stack.callback(self.keeper.close)
            stack.enter_context(self.console.pulse)
            yield


def build_web(
    settings: Settings,
    service: Served,
    ledger: Ledger,
    parts: frozenset[Part],
    file: Path | None = None,
    restart: Restart | None = None,
) -> Web:
    """The application with these parts. `file` holds the settings; a change of it in the console asks
    `restart` to begin anew.
    """
    # Only whoever serves pages pays for what draws them.
    from console.app import create_app
    from console.pulse import Pulse
    from console.visit import Console

    section, worker = settings.console, service.worker
    receives = Part.WEBHOOKS in parts
    receiver = create_receiver(
        worker.listeners if receives else {}, worker.inbox, worker.link.clock, service.wake
    )
    pulse = Pulse(
        lambda: worker.link,
        lambda totals: standing_of(settings, worker, totals),
        lambda: totals_of(settings, worker),
    )
    people = People(ledger.engine, ledger.vault, now)
    desk = import_desk(settings, worker, ledger)
    keeper = LinkDesk(settings, file, worker, ledger, None if restart is None else restart.begin)
    console = None
    if section.pages and Part.CONSOLE in parts:
        console = Console(
            people,
            lambda: worker.link,
            pulse,
            section.language,
            imports=desk,
            books=bookkeeper_of(settings, ledger),
            settings=keeper,
            oidc=oidc_of(section, people),
        )
    mounts: list[BaseRoute] = []
    if Part.API in parts:
        # The API takes half a second to import.
        from cli.api import api_mounts

        mounts += api_mounts(settings, service, ledger)
    balance = None
    if settings.handover.balance_page and Part.CONSOLE in parts:
        from cli.api import build_balance_page

        balance = build_balance_page(settings, service, ledger)
    app = create_app(receiver, console, mounts, balance)
    return Web(app, parts, balance is not None, console, desk, keeper)


@contextmanager
def served_console(
    settings: Settings,
    service: Served,
    ledger: Ledger,
    output: Output,
    file: Path | None = None,
    restart: Restart | None = None,
    *,
    parts: frozenset[Part] | None = None,
    shares_port: bool = False,
    metrics: RequestMetrics | None = None,
) -> Iterator[str | None]:
    """Serve while the block runs; gives the address of the pages, or None where there are none.

    Without `parts` what the settings switch on is served, but for a console that another process serves; with
    it, OperatorError is raised then. After a restart it is at the same port.
    """
    section = settings.console
    wanted = parts_on(settings) if parts is None else parts
    with ExitStack() as stack:
        ends = None if restart is None else restart.ends
        if stack.enter_context(console_claimed(settings, ledger, wanted, ends)):
            parts = wanted
        elif parts is None:
            output.note("Another process serves the console of this link; this one serves no pages.")
            parts = wanted - {Part.CONSOLE}
        else:
            raise console_is_elsewhere()
        if not parts:
            yield None
            return
        web = build_web(settings, service, ledger, parts, file, restart)
        app = web.app if metrics is None else metrics.counted(web.app)
        port = _enter(stack, app, section.host, section.port, restart, shares_port=shares_port)
        host = f"[{section.host}]" if ":" in section.host else section.host
        _say_where(web, f"http://{host}:{port}", service.worker, output)
        stack.enter_context(web.at_work())
        if web.console is None:
            yield None
            return
        address = section.public_url.rstrip("/") if section.public_url else f"http://{host}:{port}"
        output.note(f"The console is at {address}/")
        first = web.console.people.first_link()
        if first is not None:
            output.note(
                f"Nobody may use it yet. Whoever opens this link first owns it: {address}/join/{first}"
            )
        yield address


def _say_where(web: Web, address: str, worker: Worker, output: Output) -> None:
    """Say where machines and customers find what is served."""
    if Part.API in web.parts:
        from cli.api import PREFIX

        output.note(f"The API answers at {address}{PREFIX}.")
    if web.shows_balances:
        output.note(f"Customers see their balance at {address}/balance.")
    if Part.WEBHOOKS in web.parts:
        output.note(f"Webhooks are received at {address}/webhooks/{{{','.join(worker.listeners)}}}.")


@contextmanager
def console_claimed(
    settings: Settings,
    ledger: Ledger,
    parts: frozenset[Part],
    stop: threading.Event | None = None,
    seconds: float | None = None,
) -> Iterator[bool]:
    """Hold the right to serve the pages while the block runs, if there are any; whether it was had."""
    if not settings.console.pages or Part.CONSOLE not in parts:
        yield True
        return
    waits = HANDED_OVER_SECONDS if seconds is None else seconds
    with only_console(ledger.engine, ledger_name(settings), stop, waits) as is_ours:
        yield is_ours


def console_is_elsewhere() -> OperatorError:
    return OperatorError(
        "another process serves the console of this link, and one may at a time",
        "Stop that one first; or say which parts are served here, as in `--part webhooks --part api`.",
    )


def oidc_of(section: ConsoleSection, people: People) -> OidcSignIn | None:
    """Sign-in by the provider of the settings, if they name one."""
    oidc = section.oidc
    if oidc.issuer is None or oidc.client_id is None:
        return None
    # Only whoever has a provider pays for the import.
    from sync.support.oidc import Admission, OidcSignIn
    from sync.support.oidc_provider import Provider

    secret = None if oidc.client_secret is None else oidc.client_secret.get_secret_value()
    admission = Admission(
        oidc.claim,
        {claim.casefold(): name for claim, name in oidc.people.items()},
        oidc.role_claim,
        {group: Role(role) for group, role in oidc.roles.items()},
    )
    provider = Provider(oidc.issuer, oidc.client_id, secret, people.clock)
    return OidcSignIn(people, provider, admission, oidc.label, oidc.scopes, section.public_url)


def import_desk(settings: Settings, worker: Worker, ledger: Ledger) -> ImportDesk:
    """Imports beside the worker; files stay in a private folder next to the ledger, as plans do."""
    file = database_file(ledger.engine)

    def sides() -> ImportSides:
        return import_sides(worker.link.sides, None, None)

    return ImportDesk(
        link=lambda: worker.link,
        imports=imports_of(ledger),
        folder=(file.parent if file is not None else Path()) / "imports",
        context=lambda: context_of(settings, worker, sides()),
        lister=lambda: lister_of(worker, sides()),
        importer_of=Importers(settings, worker, ledger).importer_of,
        queues=ledger.engine.dialect.name == "postgresql",
        reader=reader_of_settings(settings, lambda: places_of(worker.link.sides)),
    )


def _enter(
    stack: ExitStack,
    app: ASGIApp,
    host: str,
    port: int | None,
    restart: Restart | None,
    *,
    shares_port: bool,
) -> int:
    """Serve at the port. Without one, at ours if it is free, else at any; after a restart where it was."""
    wanted = restart.port if restart is not None and restart.port is not None else port
    try:
        wants = PORT if wanted is None else wanted
        bound = stack.enter_context(serve(app, host, wants, shares_port=shares_port))
    except ConsoleUnavailable as error:
        if wanted is not None or error.errno != errno.EADDRINUSE:
            raise
        bound = stack.enter_context(serve(app, host, 0))
    if restart is not None:
        restart.port = bound
    return bound


def standing_of(settings: Settings, worker: Worker, totals: Totals) -> Standing:
    """The standing of the worker's link, as the settings want it."""
    sides, zone, now_is = worker.link.sides, settings.link.zone, worker.link.clock()
    wanted, brands = _wanted(settings, worker), brands_of(settings)
    return read_standing(worker.engine, sides, wanted, brands, zone, now_is, sharing(settings), totals)


def totals_of(settings: Settings, worker: Worker) -> Totals:
    """What the worker's ledger adds up to, as the settings want it."""
    wanted, brands = _wanted(settings, worker), brands_of(settings)
    return read_totals(worker.engine, worker.link.clock(), wanted, brands, sharing(settings))


def _wanted(settings: Settings, worker: Worker) -> list[str]:
    return [side for side in worker.link.sides if wants_creates(settings, side)]
