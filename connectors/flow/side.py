"""`FlowSide`: a Flow tenant and home store behind the `Side` protocol."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from connectors.api.abilities import Abilities
from connectors.api.budget import Budget
from connectors.api.capabilities import Capabilities, Identity, Place, Usage
from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext
from connectors.api.effect import (
    MOVES_MONEY,
    Applied,
    Effect,
    EffectKind,
    FindResult,
    NotFound,
    Save,
)
from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideClosed, SideError
from connectors.api.feed import Feed, Hint, HintPage, Trace, Traced
from connectors.api.webhooks import Delivery, DeliveryAnswer
from connectors.flow import webhooks
from connectors.flow.changes import Changes
from connectors.flow.client import FlowClient, Rejected
from connectors.flow.discovery import Discovery
from connectors.flow.doctor import FlowDoctor
from connectors.flow.made_orders import MadeOrders
from connectors.flow.mapping import expiry_date, is_ours, marker_in, minor_from_x100
from connectors.flow.model import BalanceHidden, FlowCard
from connectors.flow.money_effects import MoneyEffects
from connectors.flow.probe import FlowProbe
from connectors.flow.receipts import FEED, ReceiptFeed
from connectors.flow.refusals import status_of
from connectors.flow.settings import NUMBER_DIGITS, READS_AT_ONCE, FlowSettings
from connectors.kit.parallel import in_order
from mappings.money import MoneyError
from mappings.sentences import say
from mappings.serials import Serial

logger = logging.getLogger(__name__)

#: A till shows a card by its number; Flow Admin is where its status and expiry are changed.
PLACE = Place("Flow", "Flow Admin", where="store", at=say("in the store"))

#: After so many doubtful reads in a row it is not the cards: the read as a whole has failed.
DOUBTS_MAX = 3


def _now() -> datetime:
    return datetime.now(UTC)


class FlowSide:
    """One Flow tenant, through one home store. Thread-safe.

    `clock` tells zone-aware time. `pause` waits the given seconds, which `monotonic` counts; a worker passes
    one that raises NotSent when it is shut down. Cards are asked for by number: a reference without a serial
    is Unreadable.
    """

    def __init__(
        self,
        settings: FlowSettings,
        *,
        name: str = "flow",
        clock: Callable[[], datetime] = _now,
        pause: Callable[[float], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        budget: Budget | None = None,
        place: Place = PLACE,
    ) -> None:
        self._name = name
        self._place = place
        self._settings = settings
        self._clock = clock
        self._closed = threading.Event()
        pause = pause if pause is not None else self._wait
        self._pause = pause
        self._client = FlowClient(settings, clock, pause, monotonic, budget)
        self._discovery = Discovery(self._client, settings)
        made = MadeOrders()
        self._movements = MoneyEffects(self._client, settings, self._discovery, clock, pause, made)
        self._changes = Changes(self._client, settings, clock)
        self._receipts = ReceiptFeed(self._client, settings, self._discovery, clock, made)
        self._made = made

    def __repr__(self) -> str:
        return f"FlowSide({self._name!r}, tenant {self._settings.tenant}, store {self._settings.store})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            listener=self,
            tracer=self,
            examinable=self,
            place=self._place,
            keeps_cards_in=self._settings.keeps_cards_in,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What inferred behaviour is switched on decides what Flow can do (flow.md §5, §9)."""
        settings = self._settings
        return Capabilities(
            creates=settings.loads,
            debits=settings.api_settlement_debits,
            credits=settings.loads or settings.refund_settlement_credits,
            sets_expiry=True,
            sets_status=settings.settable_statuses,
            notifies=False,
            lists_entries=False,
            hides_serials=False,
            moves_when_suspended=False,
            read_batch_max=1,
            serial_length_min=NUMBER_DIGITS,
            serial_length_max=NUMBER_DIGITS,
            serial_digits_only=True,
            lands_once=MOVES_MONEY if settings.order_settles_once else frozenset(),
            asks_for_cvc=settings.api_settlement_debits,
            why_no_creates=say("has not been proved to take a number"),
        )

    @property
    def feeds(self) -> Sequence[Feed]:
        """One feed: what was settled at the tills."""
        settings = self._settings
        return (
            Feed(
                FEED,
                settings.receipts_interval_seconds,
                late_seconds=settings.receipts_late_seconds,
                late_within_seconds=settings.receipts_late_every_seconds,
            ),
        )

    def identify(self) -> Identity:
        """Check token, extension, store, currency and payment method anew (flow.md §5).

        Raises SideClosed, with the setting or the switch in Flow Admin that helps.
        """
        self._discovery.forget()
        self._discovery.check_extension()
        self._discovery.check_store()
        currency = self._discovery.currency()
        self._discovery.method()
        return Identity(self.known_as, currency, self._settings.timezone)

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        """One read per card; Flow publishes no movements, so `entries` changes nothing."""
        doubts = 0
        checked_extension = False
        for card, answer in zip(cards, in_order(self._answer, cards, READS_AT_ONCE), strict=True):
            doubts = doubts + 1 if isinstance(answer, InDoubt) and not answer.answered else 0
            if isinstance(answer, InDoubt):
                if doubts >= DOUBTS_MAX:
                    raise answer
                answer = Unreadable(str(answer), self._clock(), answer.answered)
            if isinstance(answer, Absent) and card.native_id is not None and not checked_extension:
                # A card that was there and is gone: with the extension switched off every card is.
                self._discovery.check_extension()
                checked_extension = True
            yield answer

    def lookup(self, serial: Serial) -> Observation:
        """The card with that number, or with that legacy number; the answer says which one it has now."""
        return self._observe(CardRef(serial=serial))

    def apply(self, effect: Effect, save: Save) -> Applied:
        """Carry the effect out; see `movements` for the steps and what each may save."""
        match effect.kind:
            case EffectKind.CREATE | EffectKind.CREDIT | EffectKind.DEBIT:
                return self._movements.apply(effect, save)
            case EffectKind.SET_STATUS | EffectKind.SET_EXPIRY:
                return self._changes.apply(effect, save)
            case EffectKind.NOTIFY:
                raise Refused("Flow notifies nobody", Refusal.OTHER)

    def find(self, effect: Effect) -> FindResult:
        """Look for the marker on the saved order, or compare the card with what was wanted."""
        match effect.kind:
            case EffectKind.CREATE | EffectKind.CREDIT | EffectKind.DEBIT:
                return self._movements.find(effect)
            case EffectKind.SET_STATUS | EffectKind.SET_EXPIRY:
                return self._changes.find(effect)
            case EffectKind.NOTIFY:
                return NotFound()

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        """Pages of the receipts feed; see `receipts` for what a cursor holds."""
        if feed != FEED:
            raise ValueError(f"Flow has no feed {feed!r}")
        return self._receipts.read(cursor)

    def trace(self, traces: Sequence[Trace]) -> Sequence[Traced]:
        """See `Tracer.trace`. Raises InDoubt for an order that Flow does not show any more."""
        try:
            return self._receipts.trace(traces)
        except Rejected as rejected:
            raise InDoubt(f"Flow does not show an order that giftsync made: {rejected}") from None

    def hints_of_order(self, order_uid: str) -> list[Hint]:
        """The cards that one order concerns: for a webhook, which names only the order (flow.md §6).

        An order of our own tells nothing that its intent does not know.
        """
        if self._made.marker(order_uid) is not None:
            return []
        try:
            order = self._client.order(order_uid)
        except Rejected:
            return []
        return [] if is_ours(order.external_number) else self._receipts.hints_of(order)

    def read_delivery(self, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        minute = self._clock().strftime("%Y%m%d%H%M")
        return webhooks.read_delivery(
            self._settings.tenant, self._settings.webhook_token, headers, body, minute
        )

    def resolve(self, deliveries: Sequence[Delivery]) -> Sequence[DeliveryAnswer | SideError]:
        """One read for each order, a few at a time."""
        return list(in_order(self._resolve, deliveries, READS_AT_ONCE))

    def _resolve(self, delivery: Delivery) -> DeliveryAnswer | SideError:
        try:
            return DeliveryAnswer(self.hints_of_order(delivery.subject))
        except SideError as error:
            return error

    @property
    def known_as(self) -> str:
        return self._settings.identity

    def examine(self, wanted: Expectations) -> ExaminationReport:
        """See `Examinable.examine`."""
        return FlowDoctor(
            self._client, self._settings, self._discovery, self._receipts, self.capabilities
        ).examine(wanted)

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        """See `Examinable.probe`."""
        return FlowProbe(self._client, self._settings, self._clock, self._pause).run(context)

    def usage(self) -> Usage:
        return self._client.usage

    def close(self) -> None:
        """End every pause and give the connections back."""
        self._closed.set()
        self._client.close()

    def _wait(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise NotSent("giftsync is stopping")

    def _answer(self, ref: CardRef) -> Observation | InDoubt:
        try:
            return self._observe(ref)
        except InDoubt as error:
            return error

    def _observe(self, ref: CardRef) -> Observation:
        """What Flow shows for one card. Raises InDoubt when there is no believable answer."""
        if ref.serial is None:
            return Unreadable("Flow is asked by number, and the card's number is not known", self._clock())
        try:
            card = self._client.card(ref.serial)
        except Rejected as rejected:
            return Unreadable(f"{rejected}; it may need a CVC", self._clock(), wants_cvc=True)
        except BalanceHidden as hidden:
            return Unreadable(str(hidden), self._clock(), wants_cvc=True)
        if card is None:
            return Absent(self._clock())
        if ref.native_id is not None and ref.native_id != card.native_id:
            return Unreadable("the number belongs to another card than before", self._clock())
        return self._seen(card)

    def _seen(self, card: FlowCard) -> Observation:
        at, currency = self._clock(), self._discovery.currency()
        try:
            balance_minor = minor_from_x100(card.balance_x100, currency)
        except MoneyError as error:
            return Unreadable(str(error), at)
        return Seen(
            native_id=card.native_id,
            balance_minor=balance_minor,
            currency=currency,
            status=status_of(card, at),
            status_text=card.shown_status,
            expires_on=expiry_date(card.valid_to, self._settings.zone),
            last_chars=card.number.last_chars,
            at=at,
            serial=card.number,
            legacy_serial=card.legacy_number,
            brand=card.brand_name,
            note=card.note,
            created_by=marker_in(card.note),
            needs_cvc=self._needs_cvc(card),
        )

    def _needs_cvc(self, card: FlowCard) -> bool:
        """Whether Flow takes no payment with the card without its CVC, by the card or the payment method."""
        if card.cvc_required or not self._settings.api_settlement_debits:
            return card.cvc_required
        try:
            return self._discovery.method().cvc_required
        except SideClosed:
            return False  # No card can be debited; whoever tries is told why.
