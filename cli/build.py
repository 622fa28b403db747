"""The composition root: settings become a ledger, sides, rules and a worker. Only here are they all known."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cli.errors import naming
from cli.reader import reader_of_settings
from cli.token_shelf import LedgerShelf
from config.errors import ConfigError
from config.load import key_path
from config.settings import NoticesSection, Settings
from connectors import registry
from connectors.api.budget import Budget
from connectors.api.build import BuildContext
from connectors.api.capabilities import Capabilities
from connectors.api.doctor import Verdict
from connectors.api.errors import SideClosed, Stopping
from connectors.api.settings import SideDirections, SideSection
from connectors.api.side import Side
from connectors.api.tokens import TokenShelf
from mappings.brands import Brands
from mappings.lifecycle import CardStatus
from mappings.money import minor_from_decimal
from mappings.serials import Serial
from sync.ledger import views
from sync.ledger.cards.pool import Pool
from sync.ledger.cards.store import Store
from sync.ledger.conflicts.brake_counts import LedgerCounts
from sync.ledger.database.engine import (
    LedgerUnavailable,
    check_engine,
    database_file,
    has_schema,
    open_engine,
    schema_of,
)
from sync.ledger.database.faults import LedgerFull, full_words, is_full
from sync.ledger.database.generation import Generation, fall_behind
from sync.ledger.database.log_beside import take_doubt
from sync.ledger.database.marks import switched_on_since
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.news import tell_queue
from sync.ledger.hub.events import Events
from sync.ledger.hub.requests import Requests
from sync.ledger.incoming.intake import Intake
from sync.ledger.proof.row_proofs import prove_rows_from
from sync.ledger.secrets.key_proof import prove_key
from sync.ledger.secrets.vault import Vault, VaultError, keys_from_text, load_or_make_keys
from sync.ledger.sides.verdicts import Verdicts
from sync.ledger.support.buyers import Buyers
from sync.model import Closing, FirstContact, LinkRules, Overdraft, SideRules
from sync.reconcile.brakes import Brake, BrakeLimits, Counts, ProcessCounts
from sync.reconcile.cvcs import LentCvcs
from sync.reconcile.work import Link
from sync.worker.steady_clock import SteadyClock

if TYPE_CHECKING:
    from sync.authority.upkeep import ApiUpkeep
    from sync.support.notices import Notices
    from sync.support.senders import MailSender, Sender
    from sync.worker.passes import WorkerOptions
    from sync.worker.worker import Worker

#: Since when buyers of new cards are told: cards that were sold before are not new.
NOTIFICATIONS = "notifications_since"


#: What a ledger of a database that is in no schema of its own is called.
NO_SCHEMA = "public"

#: The time of this run, whoever sets the machine's clock meanwhile.
now = SteadyClock()


@dataclass(frozen=True)
class Ledger:
    """An open ledger and what reads and writes it."""

    engine: Engine
    vault: Vault

    @property
    def store(self) -> Store:
        return Store(self.engine, self.vault)

    @property
    def intake(self) -> Intake:
        return Intake(self.engine, self.vault)

    @property
    def pool(self) -> Pool:
        return Pool(self.engine, self.vault)


@contextmanager
def open_ledger(settings: Settings, *, create: bool = True) -> Iterator[Ledger]:
    """The ledger, with its schema brought to this release.

    Raises LedgerUnavailable or VaultError; without `create`, for a ledger that is not there yet, too.
    """
    engine = open_engine(settings.database)
    try:
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        if not create and path and not Path(path).exists():
            raise LedgerUnavailable(f"there is no ledger {path} yet; `giftsync sync` makes it")
        check_engine(engine)
        if not create and not has_schema(engine):
            raise LedgerUnavailable(
                f"there is no ledger in schema {schema_of(settings.database)} yet; `giftsync sync` makes it"
            )
        before = upgrade(engine)
        tell_queue(engine, ledger_name(settings))
        vault = open_vault(settings, engine)
        prove_rows_from(before, engine, vault)
        file = database_file(engine)
        doubt = None if file is None else take_doubt(file)
        if doubt is not None:
            with engine.begin() as connection:
                fall_behind(connection, doubt, now())
        yield Ledger(engine, vault)
    except (SQLAlchemyError, OSError, LedgerUnavailable) as error:
        if not is_full(engine, error.__cause__ if isinstance(error, LedgerUnavailable) else error):
            raise
        raise LedgerFull(full_words(engine)) from error
    finally:
        engine.dispose()


def ledger_name(settings: Settings) -> str:
    """What tells the ledger from others in its database."""
    return schema_of(settings.database) or NO_SCHEMA


def open_vault(settings: Settings, engine: Engine) -> Vault:
    """The vault whose key belongs to this ledger."""
    if settings.key is not None:
        vault = Vault(*keys_from_text(settings.key.get_secret_value()))
    else:
        path = key_path(settings)
        if path is None:
            raise ConfigError(
                ["key_file is missing: a ledger that is no file has no place for its key. Name one."]
            )
        if not path.exists() and next(views.list_cards(engine, page_size=1), None) is not None:
            # A new key would find none of the serials, and every card would be created again.
            raise VaultError(f"the ledger holds cards, but its key file {path} is gone; put it back")
        vault = Vault(*load_or_make_keys(path))
    # With another key every card would look as if somebody had changed it.
    prove_key(engine, vault)
    return vault


def open_sides(
    settings: Settings,
    stop: threading.Event | None = None,
    cvc_for: Callable[[Serial], str | None] | None = None,
    budget_of: Callable[[str], Budget | None] = lambda name: None,
) -> dict[str, Side]:
    """Every side by name, in the order of the file. Nothing is sent yet. Their waits end when `stop` is set.

    `cvc_for` gives the CVC of a card that a side shows only with one, `budget_of` what processes share.
    """
    sides: dict[str, Side] = {}
    problems: list[str] = []
    for name, section in settings.sides.by_name().items():
        context = build_context(settings, name, stop)
        context = replace(context, cvc_for=cvc_for, budget=budget_of(name))
        try:
            sides[name] = registry.connector_type(section.connector).build(section, context)
        except ValueError as error:
            problems += [f"[sides.{name}] {words}." for words in error.args]
            continue
        if section.send_notifications and not sides[name].capabilities.notifies:
            problems.append(
                f"[sides.{name}] send_notifications: the connector {section.connector} cannot tell buyers."
            )
    problems += _kept_twice(sides)
    if problems:
        for side in sides.values():
            side.close()
        raise ConfigError(problems)
    return sides


def _kept_twice(sides: Mapping[str, Side]) -> list[str]:
    """What is wrong with sides that have the same cards: each payment would count as often as there are
    sides."""
    first: dict[str, str] = {}
    problems = []
    for name, side in sides.items():
        where = side.abilities.keeps_cards_in
        if where is not None and first.setdefault(where, name) != name:
            problems.append(
                f"[sides.{name}] has the cards of [sides.{first[where]}]: both are in {where}. Each payment "
                "would count twice, so take one of the two out."
            )
    return problems


def build_context(settings: Settings, name: str, stop: threading.Event | None = None) -> BuildContext:
    """What giftsync gives the connector of a side."""
    stopped, sections = stop or threading.Event(), settings.sides.by_name()

    def pause(seconds: float) -> None:
        if stopped.wait(seconds):
            raise Stopping("giftsync is stopping")

    def shelf(kind: str, given_to: str) -> TokenShelf:
        return LedgerShelf(settings, open_ledger, ledger_exists, side=name, kind=kind, given_to=given_to)

    return BuildContext(
        name=name,
        timezone=settings.link.timezone,
        currency=settings.link.currency,
        clock=now,
        pause=pause,
        shelf=shelf,
        proved=lambda identity: _proved_of(settings, name, identity),
        is_one_of_several=[one.connector for one in sections.values()].count(sections[name].connector) > 1,
    )


def ledger_exists(settings: Settings) -> bool:
    """Whether there is a ledger; on a database server there always is, but for one in a schema of its own."""
    engine = open_engine(settings.database)
    path = engine.url.database if engine.dialect.name == "sqlite" else None
    try:
        return Path(path).exists() if path is not None else has_schema(engine)
    except SQLAlchemyError as error:
        raise LedgerUnavailable("the database does not answer") from error
    finally:
        engine.dispose()


def _proved_of(settings: Settings, side: str, identity: str) -> frozenset[str]:
    """What `giftsync doctor --probe` has proved about this system; nothing without a ledger to tell."""
    try:
        engine = open_engine(settings.database)
        try:
            if not ledger_exists(settings):
                return frozenset()
            known = Verdicts(engine, side, identity).known()
        finally:
            engine.dispose()
    except (LedgerUnavailable, SQLAlchemyError):
        # What is not known to be proved stays off; whoever needs the ledger will say what is wrong with it.
        return frozenset()
    return frozenset(point for point, one in known.items() if one.verdict is Verdict.OK)


def link_rules(settings: Settings, sides: Mapping[str, Side]) -> LinkRules:
    """What the merchant's settings and the sides' capabilities together allow."""
    link, sections = settings.link, settings.sides.by_name()
    by_side = link.first_contact in sections
    return LinkRules(
        sides={name: side_rules(name, side.capabilities, sections) for name, side in sides.items()},
        first_contact=FirstContact.ASK if by_side else FirstContact(link.first_contact),
        first_contact_side=link.first_contact if by_side else None,
        closing=Closing(link.deactivation),
        overdraft=Overdraft(link.overdraft),
        brands=brands_of(settings),
    )


def side_rules(name: str, can: Capabilities, sections: Mapping[str, SideSection]) -> SideRules:
    """What one side may be written, and what of it counts."""
    section = sections[name]
    takes_dates = can.sets_expiry
    if not section.create_update:
        can = replace(
            can, creates=False, debits=False, credits=False, sets_expiry=False, sets_status=frozenset()
        )
    others = [one for other, one in sections.items() if other != name]
    rules = SideRules(
        creates=can.creates and any(one.download for one in others),
        debits=can.debits,
        credits=can.credits,
        sets_expiry=can.sets_expiry,
        takes_expiry=takes_dates,
        sets_status=can.sets_status,
        suspends_as=CardStatus.CLOSED if section.suspends_for_good else CardStatus.SUSPENDED,
        moves_when_suspended=can.moves_when_suspended,
        suspends_by_date=can.suspends_by_date,
        notifies=section.send_notifications,
        shares=section.download,
        serial_prefix=section.serial_prefix or None,
        lengthens=section.lengthen_short_numbers,
        assigns_numbers=can.assigns_numbers,
    )
    return directed(name, rules, {other: one.directions for other, one in sections.items()})


def directed(name: str, rules: SideRules, directions: Mapping[str, SideDirections]) -> SideRules:
    """The side's rules with the directions of each field: a side is written what another one tells."""
    own = directions[name]

    def written(field: str) -> bool:
        told = any(getattr(one, field) in _TELLS for other, one in directions.items() if other != name)
        return getattr(own, field) in _TAKES and told

    moves = written("balance")
    return replace(
        rules,
        credits=rules.credits and moves,
        debits=rules.debits and moves,
        writes_status=written("status"),
        tells_status=own.status in _TELLS,
        sets_expiry=rules.sets_expiry and written("expiry"),
        tells_expiry=own.expiry in _TELLS,
        follows_expiry=rules.takes_expiry and written("expiry"),
    )


_TAKES = ("both", "in")
_TELLS = ("both", "out")


def sharing(settings: Settings) -> list[str]:
    """The sides whose cards are brought to the others."""
    return sorted(name for name, section in settings.sides.by_name().items() if section.download)


def brands_of(settings: Settings) -> Brands:
    """What each kind of card is called on each side, and which are left out."""
    return brands_by_side(settings.sides.by_name())


def brands_by_side(sections: Mapping[str, SideSection]) -> Brands:
    """A side that names no brands calls them by the link's own names."""
    named = {name: section.brand_names for name, section in sections.items()}
    brands = dict.fromkeys(brand for names in named.values() for brand in names)
    rows = [
        {name: names.get(brand, "") if names else brand for name, names in named.items()} for brand in brands
    ]
    return Brands(
        [{name: own for name, own in row.items() if own} for row in rows],
        {name: section.excluded_brands for name, section in sections.items()},
    )


def wants_creates(settings: Settings, side: str) -> bool:
    """Whether the merchant wants cards of other sides on this one, whatever it can do today."""
    sections = settings.sides.by_name()
    return sections[side].create_update and any(
        section.download for name, section in sections.items() if name != side
    )


def build_link(
    settings: Settings,
    ledger: Ledger,
    sides: Mapping[str, Side],
    on_closed: Callable[[str, SideClosed], None],
    currency: str,
) -> Link:
    """The link as its settings say; asks nobody anything."""
    return Link(
        store=ledger.store,
        sides=sides,
        rules=link_rules(settings, sides),
        clock=now,
        timezone=settings.link.zone,
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        currency=currency,
        brake=Brake(_brake_limits(settings, currency), currency, _brake_counts(ledger)),
        quiet_seconds=settings.link.quiet_seconds,
        lease_seconds=settings.worker.lease_seconds,
        on_closed=on_closed,
    )


def _brake_counts(ledger: Ledger) -> Counts:
    """Where what the link moves is counted: in the ledger where other workers may write, too."""
    shared = ledger.engine.dialect.name == "postgresql"
    return LedgerCounts(ledger.engine) if shared else ProcessCounts()


def known_currency(settings: Settings, ledger: Ledger) -> str:
    """The link's currency without asking a side; XXX (ISO 4217, "no currency") before the first contact."""
    return settings.link.currency or views.currency_of(ledger.engine) or "XXX"


def build_worker(
    settings: Settings,
    ledger: Ledger,
    sides: Mapping[str, Side],
    on_closed: Callable[[str, SideClosed], None],
    options: WorkerOptions | None = None,
    cvcs: LentCvcs | None = None,
) -> Worker:
    """A worker for the link. Its currency is that of the settings, else the one that the ledger was made
    with, else a side tells it, which raises OperatorError when it does not answer.
    """
    # What a worker does is loaded where there is one: looking at a ledger needs none of it.
    from sync.arrivals.match import Matcher
    from sync.importer.new_cards import NewCards
    from sync.ledger.imports.rows import Imports
    from sync.support.privacy import Privacy
    from sync.worker.worker import Worker

    currency = settings.link.currency or views.currency_of(ledger.engine) or _currency_of(sides)
    link = build_link(settings, ledger, sides, on_closed, currency)
    link = link if cvcs is None else replace(link, cvcs=cvcs)
    tells = any(section.send_notifications for section in settings.sides.by_name().values())
    since = switched_on_since(ledger.engine, NOTIFICATIONS, now(), on=tells)
    matcher = Matcher(
        link,
        replace(ledger.intake, contacts_since=since),
        ledger.pool,
    )
    can = {name: side.abilities for name, side in sides.items()}
    new_cards = NewCards(Imports(ledger.engine, ledger.vault), alone=ledger.engine.dialect.name == "sqlite")
    return Worker(
        link,
        matcher,
        options or worker_options(settings),
        listeners={name: one.listener for name, one in can.items() if one.listener is not None},
        subscribers=[
            (one.subscriber, webhook_url(settings, name))
            for name, one in can.items()
            if one.subscriber is not None
        ],
        catalogues={name: one.catalogue for name, one in can.items() if one.catalogue is not None},
        limited={name: one.limited for name, one in can.items() if one.limited is not None},
        notices=notices_of(settings, ledger),
        privacy=Privacy(Buyers(ledger.engine, ledger.vault), sides, now, _privacy_folder(ledger.engine)),
        make_new_cards=new_cards.make,
        carry_new_cards=new_cards.turn,
        generation=Generation(ledger.engine, generation_file(settings, ledger.engine)),
        api=upkeep_of(ledger, link.clock) if settings.api.enabled else None,
    )


def upkeep_of(ledger: Ledger, clock: Callable[[], datetime]) -> ApiUpkeep:
    """What the API of a link has its worker do."""
    from sync.authority.upkeep import ApiUpkeep
    from sync.authority.webhooks import Teller

    events = Events(ledger.engine, ledger.vault)
    return ApiUpkeep(events, Requests(ledger.engine), clock, Teller(events, clock))


def _currency_of(sides: Mapping[str, Side]) -> str:
    """The currency of the side that is asked with the fewest calls: one that lists its cards, if there is
    one."""
    name = min(sides, key=lambda one: sides[one].abilities.lister is None)
    with naming(name):
        return sides[name].identify().currency


def generation_file(settings: Settings, engine: Engine) -> Path | None:
    """Where the ledger's generation is kept: beside the key, or beside a ledger whose key is elsewhere."""
    database = database_file(engine)
    key = None if settings.key is not None else key_path(settings)
    folder = key.parent if key is not None else database.parent if database is not None else None
    if folder is None:
        return None
    url = engine.url
    schema = schema_of(settings.database)
    server = f"{url.host or 'local'}-{url.database}" + (f"-{schema}" if schema is not None else "")
    name = database.name if database is not None else server
    return folder / f"{name}.generation"


def webhook_url(settings: Settings, side: str) -> str | None:
    """Where a side is to deliver its webhooks; None while giftsync cannot be reached."""
    console = settings.console
    if console.port is None or console.public_url is None:
        return None
    return f"{console.public_url.rstrip('/')}/webhooks/{side}"


def _privacy_folder(engine: Engine) -> Path:
    """Next to the ledger; with a database server, where giftsync was started."""
    path = engine.url.database if engine.dialect.name == "sqlite" else None
    return (Path(path).parent if path else Path()) / "privacy"


def notices_of(settings: Settings, ledger: Ledger) -> Notices | None:
    """Who is told of new conflicts; None when nobody is."""
    from sync.support.notices import Notices
    from sync.support.senders import WebhookSender

    section = settings.notices
    senders: list[Sender] = []
    if section.webhook_url is not None:
        senders.append(WebhookSender(section.webhook_url.get_secret_value()))
    if section.mail_to is not None:
        senders.append(mail_sender(section, section.mail_from or section.mail_to, section.mail_to))
    if not senders:
        return None
    reader = reader_of_settings(settings)
    return Notices(ledger.engine, senders, now, section.interval_minutes * 60, reader)


def mail_sender(section: NoticesSection, sender: str, to: str) -> MailSender:
    """The mail server of the settings, for mails to one address."""
    from sync.support.senders import MailSender

    password = section.smtp_password
    return MailSender(
        host=section.smtp_host,
        port=section.smtp_port,
        sender=sender,
        to=to,
        user=section.smtp_user,
        password=None if password is None else password.get_secret_value(),
        encrypts=section.smtp_host not in ("localhost", "127.0.0.1", "::1"),
    )


def _brake_limits(settings: Settings, currency: str) -> BrakeLimits:
    brakes = settings.link.brakes

    def minor(amount: Decimal | None) -> int | None:
        return None if amount is None else minor_from_decimal(f"{amount:f}", currency)

    return BrakeLimits(
        money_minor=minor(brakes.money_per_hour),
        cards=brakes.cards_per_hour,
        card_money_minor=minor(brakes.money_per_card),
        window_seconds=3600.0,
    )


def worker_options(settings: Settings) -> WorkerOptions:
    from sync.worker.passes import WorkerOptions

    section = settings.worker
    return WorkerOptions(
        threads=section.threads,
        sweep_slice=section.sweep_cards,
        sweep_interval_seconds=section.sweep_seconds,
        polls_per_second={name: one.looks_per_second for name, one in settings.sides.by_name().items()},
        feed_interval_seconds=section.poll_seconds,
    )
