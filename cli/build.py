"""The composition root: settings become a ledger, sides, rules and a worker. Only here are they all known."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cli.errors import naming
from cli.tokens import token_source, webhook_secrets
from config.errors import ConfigError
from config.load import key_path
from config.settings import Directions, Settings
from connectors.api.doctor import Verdict
from connectors.api.errors import NotSent, SideClosed
from connectors.api.side import Side
from connectors.flow import FlowSettings, FlowSide
from connectors.flow.inferred import with_proved
from connectors.shopify import ShopifySide
from mappings.brands import Brands
from mappings.lifecycle import CardStatus
from mappings.money import minor_from_decimal
from mappings.serials import Serial
from sync.arrivals.match import Matcher
from sync.ledger import views
from sync.ledger.cards.pool import Pool
from sync.ledger.cards.store import Store
from sync.ledger.database.engine import LedgerUnavailable, check_engine, database_file, open_engine
from sync.ledger.database.faults import LedgerFull, full_words, is_full
from sync.ledger.database.generation import Generation
from sync.ledger.database.migrations import upgrade
from sync.ledger.incoming.intake import Intake
from sync.ledger.incoming.marks import switched_on_since
from sync.ledger.secrets.vault import Vault, VaultError, key_from_text, load_or_make_key
from sync.ledger.verdicts import Verdicts
from sync.model import Closing, FirstContact, LinkRules, Overdraft, SideRules
from sync.reconcile.brakes import Brake, BrakeLimits
from sync.reconcile.work import Link
from sync.support.notices import Notices
from sync.support.privacy import Privacy
from sync.support.senders import MailSender, Sender, WebhookSender
from sync.worker.passes import WorkerOptions
from sync.worker.steady_clock import SteadyClock
from sync.worker.worker import Worker

FLOW = "flow"
SHOPIFY = "shopify"
SIDES = (FLOW, SHOPIFY)
#: Since when buyers of new cards are told: cards that were sold before are not new.
NOTIFICATIONS = "notifications_since"


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
        upgrade(engine)
        yield Ledger(engine, _open_vault(settings, engine))
    except (SQLAlchemyError, OSError, LedgerUnavailable) as error:
        if not is_full(engine, error.__cause__ if isinstance(error, LedgerUnavailable) else error):
            raise
        raise LedgerFull(full_words(engine)) from error
    finally:
        engine.dispose()


def _open_vault(settings: Settings, engine: Engine) -> Vault:
    """The vault whose key belongs to this ledger."""
    has_cards = next(views.list_cards(engine), None) is not None
    if settings.key is not None:
        vault = Vault(key_from_text(settings.key.get_secret_value()))
    else:
        path = key_path(settings)
        if path is None:
            raise ConfigError(
                ["key_file is missing: a ledger that is no file has no place for its key. Name one."]
            )
        if has_cards and not path.exists():
            # A new key would find none of the serials, and every card would be created again.
            raise VaultError(f"the ledger holds cards, but its key file {path} is gone; put it back")
        vault = Vault(load_or_make_key(path))
    for side in (FLOW, SHOPIFY) if has_cards else ():
        # Opening one sealed serial proves the key.
        views.presences_after(engine, vault, side, 0, 1)
    return vault


def open_sides(
    settings: Settings,
    stop: threading.Event | None = None,
    cvc_for: Callable[[Serial], str | None] | None = None,
) -> dict[str, Side]:
    """Both sides by name, Flow first. Nothing is sent yet. Their waits end when `stop` is set.

    `cvc_for` gives the CVC of a card that Flow shows only with one.
    """
    stopped = stop or threading.Event()

    def pause(seconds: float) -> None:
        if stopped.wait(seconds):
            raise NotSent("giftsync is stopping")

    return {FLOW: _flow(settings, pause, cvc_for), SHOPIFY: _shopify(settings, pause)}


def _shopify(settings: Settings, pause: Callable[[float], None]) -> ShopifySide:
    section = settings.shopify
    try:
        return ShopifySide(
            shop=section.shop,
            token=token_source(settings, open_ledger),
            base_url=section.url,
            version=section.version,
            pause=pause,
            clock=now,
            name=SHOPIFY,
            webhook_secrets=webhook_secrets(settings),
            notifies=settings.link.send_notifications,
            attaching_notifies=bool(section.attaching_notifies),
        )
    except ValueError as error:
        raise ConfigError([f"[shopify]: {error}."]) from None


def _flow(
    settings: Settings, pause: Callable[[float], None], cvc_for: Callable[[Serial], str | None] | None
) -> FlowSide:
    section = settings.flow
    try:
        flow = FlowSettings(
            tenant=section.tenant,
            store=section.store,
            token=section.token.get_secret_value(),
            timezone=settings.link.timezone,
            currency=settings.link.currency,
            base_url=section.url,
            calls_per_second=section.calls_per_second,
            debit_product_uid=section.debit_product_uid,
            gift_card_product_uids=section.gift_card_product_uids,
            default_brand=section.default_brand,
            item_number_field=section.item_number_field,
            extension_code=section.extension_code,
            number_parameter=section.number_parameter,
            cvc_parameter=section.cvc_parameter,
            refund_amounts_negative=section.refund_amounts_negative,
            return_order_type=section.return_order_type,
            status_by_active_flag=section.status_by_active_flag,
            gift_card_settlement_code=section.gift_card_settlement_code,
            external_settlement_code=section.external_settlement_code,
            gift_card_payment_method_uid=section.gift_card_payment_method_uid,
            external_payment_method_uid=section.external_payment_method_uid,
            api_settlement_debits=section.api_settlement_debits,
            api_issue_allowed=section.api_issue_allowed,
            caller_may_choose_number=section.caller_may_choose_number,
            refund_settlement_credits=section.refund_settlement_credits,
            empty_answer_means_absent=section.empty_answer_means_absent,
            suspended_status=section.suspended_status,
            cvc_for=cvc_for,
            webhook_token=section.webhook_token.get_secret_value() if section.webhook_token else "",
        )
    except ValueError as error:
        raise ConfigError([f"[flow] {words}." for words in error.args]) from None
    return FlowSide(with_proved(flow, _proved_of(settings, flow)), name=FLOW, pause=pause, clock=now)


def _proved_of(settings: Settings, flow: FlowSettings) -> set[str]:
    """What `giftsync doctor --probe` has proved about this tenant; nothing without a ledger to tell."""
    try:
        engine = open_engine(settings.database)
        try:
            path = engine.url.database if engine.dialect.name == "sqlite" else None
            if path and not Path(path).exists():
                return set()
            known = Verdicts(engine, FLOW, flow.identity).known()
        finally:
            engine.dispose()
    except (LedgerUnavailable, SQLAlchemyError):
        # What is not known to be proved stays off; whoever needs the ledger will say what is wrong with it.
        return set()
    return {point for point, one in known.items() if one.verdict is Verdict.OK}


def link_rules(settings: Settings, sides: Mapping[str, Side]) -> LinkRules:
    """What the merchant's settings and the sides' capabilities together allow."""
    link = settings.link
    rules = {name: directed(name, _side_rules(side), link.directions) for name, side in sides.items()}
    if not link.create_update_shopify_cards:
        rules[SHOPIFY] = replace(
            rules[SHOPIFY],
            creates=False,
            debits=False,
            credits=False,
            sets_expiry=False,
            sets_status=frozenset(),
        )
    if not link.download_shopify_cards:
        rules[FLOW] = replace(rules[FLOW], creates=False)
    rules[SHOPIFY] = replace(
        rules[SHOPIFY],
        notifies=link.send_notifications,
        suspends_as=CardStatus.CLOSED if link.suspension == "deactivate" else CardStatus.SUSPENDED,
    )
    by_side = link.first_contact in (FLOW, SHOPIFY)
    return LinkRules(
        sides=rules,
        first_contact=FirstContact.ASK if by_side else FirstContact(link.first_contact),
        first_contact_side=link.first_contact if by_side else None,
        closing=Closing(link.deactivation),
        overdraft=Overdraft(link.overdraft),
        brands=brands_of(settings),
    )


def brands_of(settings: Settings) -> Brands:
    """What each kind of card is called on each side, and which are left out."""
    link = settings.link
    return Brands(
        [{FLOW: brand, SHOPIFY: template} for brand, template in link.template_suffixes.items()],
        {FLOW: link.excluded_brands},
    )


def wants_creates(settings: Settings, side: str) -> bool:
    """Whether the merchant wants every card on the side, whatever the side can do today."""
    link = settings.link
    return link.create_update_shopify_cards if side == SHOPIFY else link.download_shopify_cards


def directed(name: str, rules: SideRules, directions: Directions) -> SideRules:
    """The side's rules with the directions of each field: a side is written from the other, which tells."""
    to_it, from_it = ("to_shopify", "to_pos") if name == SHOPIFY else ("to_pos", "to_shopify")
    written, counts = ("both", to_it), ("both", from_it)
    moves = directions.balance in written
    return replace(
        rules,
        credits=rules.credits and moves,
        debits=rules.debits and moves,
        writes_status=directions.status in written,
        tells_status=directions.status in counts,
        sets_expiry=rules.sets_expiry and directions.expiry in written,
        tells_expiry=directions.expiry in counts,
    )


def _side_rules(side: Side) -> SideRules:
    can = side.capabilities
    return SideRules(
        creates=can.creates,
        debits=can.debits,
        credits=can.credits,
        sets_expiry=can.sets_expiry,
        sets_status=can.sets_status,
        moves_when_suspended=can.moves_when_suspended,
        suspends_by_date=can.suspends_by_date,
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
        brake=Brake(_brake_limits(settings, currency), currency),
        quiet_seconds=settings.link.quiet_seconds,
        lease_seconds=settings.worker.lease_seconds,
        on_closed=on_closed,
    )


def known_currency(settings: Settings, ledger: Ledger) -> str:
    """The link's currency without asking a side; XXX (ISO 4217, "no currency") before the first contact."""
    return settings.link.currency or views.currency_of(ledger.engine) or "XXX"


def build_worker(
    settings: Settings,
    ledger: Ledger,
    sides: Mapping[str, Side],
    on_closed: Callable[[str, SideClosed], None],
    options: WorkerOptions | None = None,
) -> Worker:
    """A worker for the link, whose currency a side tells if the settings do not. Raises OperatorError."""
    with naming(SHOPIFY):
        currency = settings.link.currency or sides[SHOPIFY].identify().currency
    link = build_link(settings, ledger, sides, on_closed, currency)
    since = switched_on_since(ledger.engine, NOTIFICATIONS, now(), on=settings.link.send_notifications)
    matcher = Matcher(
        link,
        replace(ledger.intake, contacts_since=since),
        ledger.pool,
        settings.link.shopify_serial_prefix or None,
        lengthens=settings.link.lengthen_short_numbers,
    )
    can = {name: side.abilities for name, side in sides.items()}
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
        privacy=Privacy(ledger.engine, ledger.vault, now, _privacy_folder(ledger.engine)),
        generation=Generation(ledger.engine, generation_file(settings, ledger.engine)),
    )


def generation_file(settings: Settings, engine: Engine) -> Path | None:
    """Where the ledger's generation is kept: beside the key, or beside a ledger whose key is elsewhere."""
    database = database_file(engine)
    key = None if settings.key is not None else key_path(settings)
    folder = key.parent if key is not None else database.parent if database is not None else None
    if folder is None:
        return None
    url = engine.url
    name = database.name if database is not None else f"{url.host or 'local'}-{url.database}"
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
    section = settings.notices
    senders: list[Sender] = []
    if section.webhook_url is not None:
        senders.append(WebhookSender(section.webhook_url.get_secret_value()))
    if section.mail_to is not None:
        password = section.smtp_password
        senders.append(
            MailSender(
                host=section.smtp_host,
                port=section.smtp_port,
                sender=section.mail_from or section.mail_to,
                to=section.mail_to,
                user=section.smtp_user,
                password=None if password is None else password.get_secret_value(),
                encrypts=section.smtp_host not in ("localhost", "127.0.0.1", "::1"),
            )
        )
    return Notices(ledger.engine, senders, now, section.interval_minutes * 60) if senders else None


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
    section = settings.worker
    return WorkerOptions(
        threads=section.threads,
        sweep_slice=section.sweep_cards,
        sweep_interval_seconds=section.sweep_seconds,
        polls_per_second=_polls_per_second(settings),
        feed_interval_seconds=section.poll_seconds,
    )


def _polls_per_second(settings: Settings) -> float:
    """Looks at Flow's cards; half of the calls that it allows is kept for writes and for what hints tell."""
    allowed, wanted = settings.flow.calls_per_second, settings.flow.polls_per_second
    return wanted if allowed is None else min(wanted, allowed / 2)
