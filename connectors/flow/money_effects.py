"""Moves money on a Flow card: the order, its one item, its one settlement (flow.md §5, all of it inferred).

1. read the card                    4. put the item on the order; read it back unless the answer shows it
2. make an order with the marker    5. post the settlement with the marker: **the money step**
3. save the order's uid (lazily)    6. read the card back, and the order unless the answer shows it settled

Until step 5 nothing has moved, so a doubt there is resolved at once: the order is read, and if the item is
not there, another order takes its place, on which nothing can be on its way. What cannot be resolved so is
NotSent. One intent settles one order, and Flow settles an order once: that is what keeps a repeated step 5
from paying twice. Where a probe has shown that (`order_settles_once`), a settlement that is not on its order
is sent again at once, without the wait for the quiet period.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from connectors.api.effect import Applied, CannotTell, Effect, FindResult, Found, NotFound, Save
from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refusal,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from connectors.flow.client import FlowClient, Rejected
from connectors.flow.discovery import Discovery
from connectors.flow.doubt import after_money, before_money
from connectors.flow.effect_plans import WAY, EffectPlan, EffectPlanner, Way
from connectors.flow.made_orders import MadeOrders
from connectors.flow.mapping import (
    SettlementFate,
    expiry_date,
    expiry_instant,
    instant_text,
    minor_from_x100,
    note_with_marker,
    order_number,
    x100_from_minor,
)
from connectors.flow.model import FlowCard, FlowOrder, FlowSettlement, JsonObject, loose_instant
from connectors.flow.refusals import refusal_of_card, refusal_of_hint, refusal_of_new
from connectors.flow.settings import NUMBER_DIGITS, FlowSettings
from connectors.flow.settlement_reading import SettlementReading, confirms, judge
from connectors.kit.http import retried
from mappings.money import MoneyError

logger = logging.getLogger(__name__)

# What an attempt saves; the names are in the ledger.
ORDER_UID: Final = "order_uid"
#: When the item was sent; empty when it surely was not.
ITEM: Final = "item"
#: That the settlement was sent, and when.
SETTLEMENT: Final = "settlement"
#: The card's balance (x100) right before that.
BEFORE: Final = "before_x100"
#: That the settled order left the balance as it was.
BALANCE: Final = "balance"

CONFIRM_ATTEMPTS_MAX: Final = 5
CONFIRM_PAUSE_SECONDS: Final = 0.2
#: A settlement that stays unfinished for longer than this is a person's business.
PENDING_MAX: Final = timedelta(minutes=10)
#: How long a card's balance may stay behind its settled order.
BALANCE_FOLLOWS_WITHIN: Final = timedelta(seconds=10)
#: Orders that one attempt tries to make, when their number is taken or an answer is lost.
ORDERS_MAX: Final = 5
#: For so long an attempt goes on after an answer that was lost before the money step; each call has seconds.
DOUBTS_WITHIN: Final = timedelta(seconds=5)


class MoneyEffects:
    """Carries out create, credit and debit, and finds them again."""

    def __init__(
        self,
        client: FlowClient,
        settings: FlowSettings,
        discovery: Discovery,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
        made: MadeOrders | None = None,
    ) -> None:
        """`made` is told of every order."""
        self._client = client
        self._made = made or MadeOrders()
        self._settings = settings
        self._drafts = EffectPlanner(settings, discovery)
        self._clock = clock
        self._pause = pause

    def apply(self, effect: Effect, save: Save) -> Applied:
        """Carry the movement out, or go on where an earlier attempt stopped."""
        with before_money():
            draft = self._drafts.draft(effect)
            # The card before the order: a settlement of ours that lands in between shows in the order, so a
            # balance that is too low because of it is never taken for somebody else's purchase.
            card = self._card(draft)
        order = self._known_order(effect)
        if order is not None and self._landed(draft, order):
            with after_money():
                after = self._client.card(draft.serial)
            return self._finish(draft, order.uid, after or card)
        with before_money():
            refusal = self._refusal(draft, card)
            if refusal is not None:
                if order is not None:
                    self._park(order.uid)
                raise refusal
            settlement = self._drafts.settlement(draft, card)
            order_uid = self._filled(draft, order, save)
        self._settle(draft, order_uid, settlement, card, save)
        after = self._moved(draft, card, save)
        return self._finish(draft, order_uid, after)

    def find(self, effect: Effect) -> FindResult:
        """Look for a final settlement that carries the marker, on the order whose uid was saved."""
        order_uid = effect.progress.get(ORDER_UID)
        if order_uid is None:
            # The uid is saved before anything can be settled: no uid, no settlement.
            return NotFound()
        try:
            order = self._client.order(order_uid)
        except Rejected:
            if SETTLEMENT not in effect.progress:
                return NotFound()
            return CannotTell("Flow no longer shows the order that the settlement was sent to")
        amount_x100 = x100_from_minor(effect.amount_minor, effect.currency)
        verdict = judge(order, effect.marker, amount_x100, self._settings.settlement_words)
        match verdict.fate:
            case None | SettlementFate.DECLINED:
                return NotFound()
            case SettlementFate.PENDING if _is_recent(verdict.since, self._clock()):
                raise InDoubt("Flow shows the settlement, not finished yet")
            case SettlementFate.PENDING | SettlementFate.UNKNOWN:
                return CannotTell("Flow shows the settlement in a state that is neither final nor declined")
            case SettlementFate.FINAL:
                return self._found(effect, order, verdict.landings)

    def _found(self, effect: Effect, order: FlowOrder, landings: int) -> FindResult:
        if BALANCE in effect.progress:
            return CannotTell("Flow settled the order, but the card's balance did not move")
        native_id, serial = effect.card.native_id, effect.card.serial
        is_fresh = self._is_fresh(effect)
        if serial is not None and (native_id is None or is_fresh):
            try:
                card = self._client.card(serial)
            except Rejected:
                return CannotTell("Flow settled the order, but refuses to show the card")
            if is_fresh and str(_balance_x100(card)) == effect.progress.get(BEFORE):
                # Else what follows would take the old balance for a customer's movement.
                raise InDoubt("Flow settled the order just now, but the card's balance has not moved yet")
            native_id = native_id or (None if card is None else card.native_id)
        if native_id is None:
            return CannotTell("Flow settled the order, but shows no such card")
        return Found(landings, native_id, order.uid)

    def _is_fresh(self, effect: Effect) -> bool:
        """Whether the settlement was sent so lately that the balance may follow it still."""
        sent_at = loose_instant(effect.progress.get(SETTLEMENT))
        return sent_at is not None and self._clock() - sent_at < BALANCE_FOLLOWS_WITHIN

    def settle_again(self, effect: Effect) -> int | None:
        """Post the settlement of a settled order once more; how often it has landed then.

        For a probe: it tells what becomes of one that arrives late. None: the card has not enough left to
        tell. Raises SideError.
        """
        draft = self._drafts.draft(effect)
        before = self._client.card(draft.serial)
        if _balance_x100(before) < draft.amount_x100:
            return None
        order_uid = effect.progress[ORDER_UID]
        with suppress(Rejected):
            self._client.settle(order_uid, self._drafts.settlement(draft, before))
        landings = self._judge(draft, self._client.order(order_uid)).landings
        after = self._client.card(draft.serial)
        # Whatever the order shows, the card tells whether money has moved.
        moved = abs(_balance_x100(after) - _balance_x100(before)) // draft.amount_x100
        return max(landings, 1 + moved)

    # Before the money step.

    def _refusal(self, draft: EffectPlan, card: FlowCard | None) -> Refused | None:
        """Why the card as it is cannot take the movement."""
        if not draft.makes_card:
            if card is not None and draft.effect.card.native_id not in (None, card.native_id):
                return Refused("the number belongs to another card in Flow than before", Refusal.NOT_FOUND)
            needed_x100 = draft.amount_x100 if draft.way is Way.REDEEM else 0
            return refusal_of_card(card, self._clock(), needed_x100)
        number = draft.serial.reveal()
        if len(number) != NUMBER_DIGITS or not number.isdigit():
            return Refused(f"Flow numbers have {NUMBER_DIGITS} digits", Refusal.BAD_SERIAL)
        return refusal_of_new(card, self._clock())

    def _known_order(self, effect: Effect) -> FlowOrder | None:
        """The order of an earlier attempt."""
        order_uid = effect.progress.get(ORDER_UID)
        if order_uid is None:
            return None
        try:
            with before_money():
                return self._client.order(order_uid)
        except Rejected:
            gone = "Flow no longer shows the order of an earlier attempt"
            if SETTLEMENT in effect.progress:
                raise InDoubt(gone) from None
            raise Refused(gone) from None

    def _card(self, draft: EffectPlan) -> FlowCard | None:
        try:
            return self._client.card(draft.serial)
        except Rejected as rejected:
            raise refusal_of_hint(rejected.hint, rejected.what) from None

    def _filled(self, draft: EffectPlan, order: FlowOrder | None, save: Save) -> str:
        """The uid of an order that holds exactly our item. Raises Refused when it cannot be settled."""
        give_up_at = self._clock() + DOUBTS_WITHIN
        progress = draft.effect.progress
        # An order that a settlement was sent to is never left for another one.
        can_be_left = SETTLEMENT not in progress
        may_get_item = bool(progress.get(ITEM))
        for _ in range(ORDERS_MAX):
            if order is not None and not order.items and may_get_item and can_be_left:
                # An item that is on its way moves no money there; on an order that is settled it would be a
                # second one.
                self._park(order.uid)
                order = None
            is_fresh = order is None
            uid = self._open(draft, save, give_up_at) if order is None else order.uid
            if order is None or not order.items:
                order = self._put_item(draft, uid, save, give_up_at, is_fresh=is_fresh)
                may_get_item = True
            if order.items:
                break
        else:
            raise NotSent("the order in Flow does not get its item; no money has moved")
        problem = self._drafts.misfit(draft, order)
        if problem is not None:
            self._park(order.uid)
            raise Refused(f"the order in Flow is not what was sent: {problem}")
        return order.uid

    def _open(self, draft: EffectPlan, save: Save, give_up_at: datetime) -> str:
        """Make the order and save its uid."""
        for attempt in range(1, ORDERS_MAX + 1):
            try:
                order_uid = self._client.create_order(
                    draft.order_type, order_number(draft.marker, attempt), draft.marker
                )
            except Rejected as rejected:
                if rejected.status != 409:
                    raise
                # Flow may keep externalOrderNumber unique (unknown, flow.md §8), and an order whose uid was
                # never learnt has it already. Nothing is settled there; the settlement carries the plain
                # marker.
                continue
            except InDoubt as error:
                # The order may have been made. Nobody can find it, and nothing is owed for an empty one.
                if error.answered or attempt == ORDERS_MAX or self._clock() >= give_up_at:
                    raise
                self._pause(CONFIRM_PAUSE_SECONDS)
                continue
            self._made.add(order_uid, draft.marker)
            # A crash before this line leaves an empty order behind, which nobody owes anything for. Its item
            # is sent next; a power cut may leave it behind with that. No settlement is sent before the save
            # that makes this one sure.
            opened = {ORDER_UID: order_uid, WAY: draft.way.value, ITEM: instant_text(self._clock())}
            save(opened, lazily=True)
            return order_uid
        raise Refused("Flow refuses every number for a new order")

    def _put_item(
        self, draft: EffectPlan, order_uid: str, save: Save, give_up_at: datetime, *, is_fresh: bool
    ) -> FlowOrder:
        """Send the item, once, and return the order as it is then; without items when it did not arrive."""
        try:
            shown = self._client.add_item(order_uid, draft.item)
        except Rejected as rejected:
            self._park(order_uid)
            raise refusal_of_hint(rejected.hint, rejected.what) from None
        except (NotSent, Throttled, SideClosed):
            # The next attempt can use the order: no item is on its way to it.
            save({ITEM: ""})
            raise
        except InDoubt as error:
            if error.answered or self._clock() >= give_up_at:
                raise
            self._pause(CONFIRM_PAUSE_SECONDS)
            return self._client.order(order_uid)
        if is_fresh and draft.way is not Way.LOAD and shown is not None and shown.price_x100 is not None:
            # Nobody else knows the order, and Flow has just shown what it holds. Which card a sold item loads
            # is read back always.
            return FlowOrder(order_uid, "", "", (shown,), ())
        return self._client.order(order_uid)

    # The money step and what follows.

    def _settle(
        self,
        draft: EffectPlan,
        order_uid: str,
        settlement: JsonObject,
        before: FlowCard | None,
        save: Save,
    ) -> None:
        """Post the settlement, once, and return when Flow shows it as final.

        Mostly the answer does; otherwise the order is read back.
        """
        save({SETTLEMENT: instant_text(self._clock()), BEFORE: str(_balance_x100(before))})
        refused = ""
        try:
            shown = self._client.settle(order_uid, settlement)
        except Rejected as rejected:
            # This request did nothing. But one of an earlier attempt may have landed just now, and then that
            # is the very reason for the refusal; so the order is read back either way.
            refused = rejected.hint or "REJECTED"
        else:
            if shown is not None and self._is_confirmed(draft, shown):
                return
        for attempt in range(CONFIRM_ATTEMPTS_MAX):
            with after_money():
                order = self._client.order(order_uid)
            verdict = self._judge(draft, order)
            if verdict.fate is SettlementFate.FINAL:
                return
            if verdict.fate is SettlementFate.DECLINED or (refused and verdict.fate is None):
                self._park(order_uid)
                raise self._explained(draft, refused)
            with after_money():
                self._pause(CONFIRM_PAUSE_SECONDS * 2**attempt)
        raise InDoubt("Flow took the settlement and does not show it as final")

    def _landed(self, draft: EffectPlan, order: FlowOrder) -> bool:
        """Whether an earlier attempt's settlement has landed. Raises InDoubt or Refused."""
        verdict = self._judge(draft, order)
        match verdict.fate:
            case None:
                return False
            case SettlementFate.FINAL:
                return True
            case SettlementFate.DECLINED:
                self._park(order.uid)
                raise self._explained(draft, "")
            case SettlementFate.PENDING | SettlementFate.UNKNOWN:
                raise InDoubt("Flow shows a settlement of an earlier attempt that is not final")

    def _judge(self, draft: EffectPlan, order: FlowOrder) -> SettlementReading:
        return judge(order, draft.marker, draft.amount_x100, self._settings.settlement_words)

    def _is_confirmed(self, draft: EffectPlan, shown: FlowSettlement) -> bool:
        return confirms(shown, draft.marker, draft.amount_x100, self._settings.settlement_words)

    def _explained(self, draft: EffectPlan, hint: str) -> Refused:
        """Why Flow refused the money step: the card's own state first, the body's code second."""
        try:
            refusal = self._refusal(draft, self._client.card(draft.serial))
        except SideError:
            # Only the explanation is lost; that it was refused is sure.
            refusal = None
        return refusal or refusal_of_hint(hint, f"to {draft.effect.kind} the card")

    def _park(self, order_uid: str) -> None:
        """Put an order aside that will not be settled, if Flow lets us; it is harmless either way.

        Raises NotSent or Throttled when Flow cannot be asked: nothing has moved, and the next attempt, which
        knows the order, comes here again.
        """
        try:
            retried(lambda: self._client.park_order(order_uid), self._pause)
        except InDoubt as error:
            raise NotSent(f"{error}; no money has moved") from None
        except (Rejected, SideClosed) as error:
            logger.info(
                "An unsettled Flow order could not be parked: %s",
                error,
                extra={"action": "flow_order_left", "order_uid": order_uid},
            )

    def _moved(self, draft: EffectPlan, before: FlowCard | None, save: Save) -> FlowCard:
        """The card after its balance moved. Raises InDoubt when a settled order leaves it as it was.

        That an order made by API moves balances is inferred; where it does not, the hub must not believe that
        it did. Judged only right after the settlement, when hardly anybody else can have moved the same
        amount.
        """
        before_x100 = _balance_x100(before)
        for attempt in range(CONFIRM_ATTEMPTS_MAX):
            with after_money():
                card = self._client.card(draft.serial)
            if card is not None and card.balance_x100 != before_x100:
                return card
            with after_money():
                self._pause(CONFIRM_PAUSE_SECONDS * 2**attempt)
        save({BALANCE: "unmoved"})
        logger.error(
            "Flow settled an order made by giftsync, but the card's balance did not move; "
            "switch the inferred behaviour off until Flow explains it",
            extra={"action": "flow_balance_unmoved", "marker": draft.marker},
        )
        raise InDoubt("Flow settled the order, but the card's balance did not move")

    def _finish(self, draft: EffectPlan, order_uid: str, card: FlowCard | None) -> Applied:
        """The money has moved. A new card gets its expiry and note; neither can take the money back."""
        if card is None:
            raise InDoubt("Flow settled the order, but shows no such card yet")
        if draft.makes_card:
            try:
                card = self._describe(draft, card)
            except SideError as error:
                logger.warning(
                    "Flow issued a card, but its expiry and note could not be written: %s",
                    error,
                    extra={"action": "flow_card_not_described", "marker": draft.marker},
                )
        return Applied(card.native_id, self._shown_balance(draft, card), order_uid)

    def _shown_balance(self, draft: EffectPlan, card: FlowCard) -> int | None:
        """Evidence only: None when the card holds what the currency cannot say."""
        try:
            return minor_from_x100(card.balance_x100, draft.effect.currency)
        except MoneyError:
            return None

    def _describe(self, draft: EffectPlan, card: FlowCard) -> FlowCard:
        """Write expiry and note of a new card; the same request again changes nothing: it may be repeated."""
        changes = self._description(draft, card)
        if not changes:
            return card
        try:
            return self._change(draft, changes)
        except Rejected:
            if set(changes) <= {"note"}:
                raise
            # Flow may not take such an expiry (null is untested, flow.md §3); the note is still worth having.
            logger.warning(
                "Flow refused the expiry of a new card, which keeps Flow's own",
                extra={"action": "flow_expiry_kept", "marker": draft.marker},
            )
            return self._change(draft, {"note": note_with_marker(draft.effect.note, draft.marker)})

    def _change(self, draft: EffectPlan, changes: Mapping[str, object]) -> FlowCard:
        return retried(lambda: self._client.change_card(draft.serial, changes), self._pause)

    def _description(self, draft: EffectPlan, card: FlowCard) -> Mapping[str, object]:
        changes: dict[str, object] = {}
        note = note_with_marker(draft.effect.note, draft.marker)
        if card.note != note:
            changes["note"] = note
        wanted, zone = draft.effect.expires_on, self._settings.zone
        if expiry_date(card.valid_to, zone) != wanted:
            try:
                changes["validTo"] = None if wanted is None else instant_text(expiry_instant(wanted, zone))
            except ValueError as error:
                logger.warning(
                    "A new card keeps Flow's own expiry: %s",
                    error,
                    extra={"action": "flow_expiry_kept", "marker": draft.marker},
                )
        return changes


def _is_recent(at: datetime | None, now: datetime) -> bool:
    """Whether Flow's moment is less than PENDING_MAX from ours, on either side: its clock is not ours."""
    return at is not None and abs(now - at) < PENDING_MAX


def _balance_x100(card: FlowCard | None) -> int:
    return 0 if card is None else card.balance_x100
