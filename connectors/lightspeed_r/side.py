"""R-Series as a side: money moves through sales alone, and each sale carries the marker (lightspeed.md §A3).

A create is two requests: the gift card, whose description ends with the marker, and the sale that loads it. A
card is closed by a sale that empties it, and then archived; what it held goes on being shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.api.abilities import Abilities
from connectors.api.build import BuildContext
from connectors.api.capabilities import Capabilities, Identity, Place
from connectors.api.card import CardRef, Seen
from connectors.api.effect import Applied, Effect, EffectKind, FindResult, Found, NotFound, Save
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed
from connectors.api.feed import Feed, Hint, HintPage
from connectors.api.side import Side
from connectors.kit.answers import Rejected
from connectors.kit.fields import NotBelieved
from connectors.kit.one_client import CardByCardSide
from connectors.kit.renewal import TokenSource
from connectors.lightspeed_r.client import AccountClient
from connectors.lightspeed_r.doctor import AccountDoctor
from connectors.lightspeed_r.model import CLOSED, MADE, RCard, Sign, read_card, rows
from connectors.lightspeed_r.sales import Sales, SaleSettings
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor
from mappings.notes import shipping_name_in
from mappings.sentences import say

CARDS: Final = "cards"
#: Proved on the account: a sale is read back with the reference that it was made with.
SALE_CARRIES_MARKER: Final = "sale_carries_marker"
#: Proved on the account: a payment moves the time stamp of its card.
TIMESTAMP_MOVES: Final = "timestamp_moves"
PAGE_SIZE: Final = 100
#: Accounts that changed so shortly before the cursor are read again: two may have one time stamp.
OVERLAP: Final = timedelta(seconds=1)
#: What an effect saves before its first request.
SENT: Final = {"sent": "yes"}
_PAYMENTS: Final = '["WithdrawalPayments"]'
_ID: Final = re.compile(r"[0-9]{1,19}")
_UNCONFIRMED: Final = (
    "nobody has confirmed whether value on a card is shown with a minus",
    "Run `giftsync doctor --card NUMBER` with a card whose value you know, and set `balance_sign`.",
)


class LightspeedRSide(CardByCardSide):
    """One account. Thread-safe."""

    _client: AccountClient
    _system = "Lightspeed"
    _misread = "Lightspeed shows the card in a form that is not known"

    def __init__(
        self,
        url: str,
        tokens: TokenSource,
        context: BuildContext,
        *,
        identity: str,
        currency: str,
        sign: Sign,
        sales: SaleSettings,
        sale_carries_marker: bool,
        timestamp_moves: bool,
        letters_in_codes: bool,
    ) -> None:
        self.name = context.name
        self.known_as = identity
        self.feeds: Sequence[Feed] = (Feed(CARDS, 30.0, tells_changes=timestamp_moves),)
        writes = sale_carries_marker and not sales.missing() and sign is not Sign.UNCONFIRMED
        self.capabilities = Capabilities(
            creates=writes,
            debits=writes,
            credits=writes,
            sets_expiry=False,
            sets_status=frozenset({CardStatus.CLOSED}) if writes else frozenset(),
            notifies=False,
            lists_entries=True,
            hides_serials=False,
            moves_when_suspended=False,
            read_batch_max=1,
            serial_length_min=8,
            serial_length_max=20,
            serial_digits_only=not letters_in_codes,
            why_no_creates="" if writes else _why_not(sales, sign),
        )
        self.abilities = Abilities(
            examinable=self,
            place=context.place(
                Place("Lightspeed R-Series", "R-Series", where="lightspeed", at=say("at the Lightspeed till"))
            ),
            keeps_cards_in=identity,
        )
        self._client = AccountClient(url, tokens, context.clock, context.pause)
        self._sales = Sales(self._client, sales)
        self._clock = context.clock
        self._currency, self._timezone, self._sign = currency, context.timezone, sign
        side: Side = self
        on = {SALE_CARRIES_MARKER: sale_carries_marker, TIMESTAMP_MOVES: timestamp_moves}
        points = frozenset(point for point, is_on in on.items() if is_on)
        self._doctor = AccountDoctor(side, self._client, self._sales, currency, sign, points, context.pause)

    def __repr__(self) -> str:
        return f"LightspeedRSide({self.name!r})"

    def identify(self) -> Identity:
        self._need_sign()
        if self._client.get("/CreditAccount.json", {"giftCard": "true", "limit": 1}) is None:
            raise SideClosed("Lightspeed has no such account", "Check `account` in the side's table.")
        return Identity(self.known_as, self._currency, self._timezone)

    def find(self, effect: Effect) -> FindResult:
        try:
            card = self._card(effect.card, payments=True)
            if card is None:
                return NotFound()
            if effect.kind is EffectKind.SET_STATUS:
                is_so = card.archived and effect.status is CardStatus.CLOSED
                return Found(1, card.id) if is_so else NotFound()
            # A create of which only the first half has landed is carried on from there.
            landed = self._landed(card, _reference(effect))
        except NotBelieved as error:
            raise InDoubt(f"{self._misread}: {error}") from None
        return Found(len(landed), card.id, landed[0]) if landed else NotFound()

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        if feed != CARDS:
            raise ValueError(f"Lightspeed has no feed {feed!r}")
        since = datetime.fromisoformat(cursor) if cursor else None
        newest, offset = since, 0
        while True:
            page = self._page(since, offset)
            stamps = [_stamp(one) for one in page]
            newest = max([*stamps, *([newest] if newest else [])], default=None)
            hints = [self._hint(one) for one in page]
            if hints and newest is not None:
                # Until the end is reached, the walk begins anew after a crash: offsets move under changes.
                done = len(page) < PAGE_SIZE
                yield HintPage(hints, newest.isoformat() if done else cursor or "")
            if len(page) < PAGE_SIZE:
                return
            offset += PAGE_SIZE

    # Reading.

    def _seen(self, card: CardRef, at: datetime, *, entries: bool, urgent: bool) -> Seen | None:
        found = self._card(card, payments=entries, urgent=urgent)
        if found is None:
            return None
        return found.seen(self._currency, at, self._sales.references(found), entries=entries)

    def _need_sign(self) -> None:
        if self._sign is Sign.UNCONFIRMED:
            raise SideClosed(*_UNCONFIRMED)

    def _card(self, ref: CardRef, *, payments: bool, urgent: bool = True) -> RCard | None:
        """The card by its id, or by its code. Raises NotBelieved."""
        self._need_sign()
        params: dict[str, str | int] = {"load_relations": _PAYMENTS} if payments else {}
        if ref.native_id is not None:
            if not _ID.fullmatch(ref.native_id):
                return None
            said = self._client.get(f"/CreditAccount/{ref.native_id}.json", params, urgent=urgent)
            found = rows(said, "CreditAccount")
        else:
            found = self._with_code(ref.serial.reveal() if ref.serial is not None else "", params, urgent)
        if len(found) > 1:
            raise NotBelieved("several cards have this code")
        card = read_card(found[0], self._currency, self._sign) if found else None
        if card is not None and card.archived and not payments:
            # Only its sales tell what it held before it was emptied.
            return self._card(CardRef(card.id), payments=True, urgent=urgent)
        return card

    def _with_code(self, code: str, params: dict[str, str | int], urgent: bool) -> list[dict[str, Any]]:
        for written in dict.fromkeys((code, code.upper())):
            asked = {"giftCard": "true", "archived": "true", "code": written, **params}
            found = rows(self._client.get("/CreditAccount.json", asked, urgent=urgent), "CreditAccount")
            if found:
                return found
        return []

    def _landed(self, card: RCard, reference: str) -> list[str]:
        """The sales of a card that carry the reference."""
        return [sale for sale, carried in self._sales.references(card).items() if carried == reference]

    def _page(self, since: datetime | None, offset: int) -> list[dict[str, Any]]:
        self._need_sign()
        params: dict[str, str | int] = {"giftCard": "true", "archived": "true", "sort": "timeStamp"}
        params |= {"limit": PAGE_SIZE, "offset": offset}
        if since is not None:
            params["timeStamp"] = f">,{(since - OVERLAP).isoformat()}"
        try:
            page = rows(self._client.get("/CreditAccount.json", params), "CreditAccount")
        except NotBelieved as error:
            raise InDoubt(f"Lightspeed's list of cards: {error}") from None
        if not all(_ID.fullmatch(str(one.get("creditAccountID"))) for one in page):
            raise InDoubt("Lightspeed's list of cards is not known in this form")
        return page

    def _hint(self, said: dict[str, Any]) -> Hint:
        native_id = str(said["creditAccountID"])
        try:
            card = read_card(said, self._currency, self._sign)
        except NotBelieved:
            return Hint(CardRef(native_id), CARDS)
        return Hint(
            CardRef(native_id, card.serial),
            CARDS,
            card.last_chars,
            at=card.changed_at,
            created_by=card.created_by,
            sold_here=card.created_by is None,
        )

    # Writing.

    def _create(self, effect: Effect, save: Save) -> Applied:
        if effect.card.serial is None:
            raise Refused("the card has no number", Refusal.BAD_SERIAL)
        card = self._card(CardRef(serial=effect.card.serial), payments=True)
        if card is None:
            save(SENT)
            card = self._made(effect)
        elif card.created_by != effect.marker:
            raise Refused("the number is in use", Refusal.TAKEN, card.id)
        if card.archived:
            raise Refused("the card is archived", Refusal.NOT_ACTIVE, card.id)
        reference = _reference(effect)
        landed = self._landed(card, reference)
        if not landed and effect.amount_minor:
            try:
                landed = [self._sales.load(card.id, self._text(effect.amount_minor), reference)]
            except Rejected as error:
                raise Refused(
                    f"{error} to the sale that loads the new card", Refusal.OTHER, card.id
                ) from None
        return Applied(card.id, reference=landed[0] if landed else None)

    def _made(self, effect: Effect) -> RCard:
        code = effect.card.serial.reveal() if effect.card.serial is not None else ""
        body = {
            "code": code,
            "name": shipping_name_in(effect.note) or effect.note or "Gift card",
            "description": f"{effect.note} {effect.marker}".strip(),
        }
        try:
            said = self._client.send("POST", "/CreditAccount.json", body)
        except Rejected as error:
            raise Refused(f"{error} to the card's number", Refusal.OTHER) from None
        found = rows(said, "CreditAccount")
        if len(found) != 1:
            raise InDoubt("Lightspeed's answer to a new card holds no card")
        return read_card(found[0], self._currency, self._sign)

    def _move(self, effect: Effect, save: Save) -> Applied:
        # Whether an account lets a card be overdrawn is not known, so its value is read first.
        card = self._card(effect.card, payments="sent" in effect.progress)
        if card is None:
            raise Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
        reference = _reference(effect)
        landed = self._landed(card, reference) if card.payments is not None else []
        if landed:
            return Applied(card.id, reference=landed[0])
        self._check(card, effect)
        save(SENT)
        amount = self._text(effect.amount_minor)
        make = self._sales.load if effect.kind is EffectKind.CREDIT else self._sales.redeem
        try:
            sale = make(card.id, amount, reference)
        except Rejected as error:
            again = self._card(CardRef(card.id), payments=False)
            if again is not None:
                self._check(again, effect)
            raise Refused(
                f"{error} to a sale, and the card shows no reason", Refusal.OTHER, card.id
            ) from None
        return Applied(card.id, reference=sale)

    def _check(self, card: RCard, effect: Effect) -> None:
        """Raises Refused for what the card cannot do."""
        if card.archived:
            raise Refused("the card is archived", Refusal.NOT_ACTIVE, card.id)
        if effect.kind is EffectKind.DEBIT and card.value_minor < effect.amount_minor:
            raise Refused("the card holds less", Refusal.INSUFFICIENT_FUNDS, card.id)

    def _close(self, effect: Effect) -> Applied:
        """Empty the card, then archive it: archiving alone keeps what it holds."""
        card = self._card(effect.card, payments=True)
        if card is None:
            raise Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
        if card.archived:
            return Applied(card.id)
        try:
            if card.value_minor > 0:
                self._sales.redeem(card.id, self._text(card.value_minor), effect.marker + CLOSED)
            said = self._client.send("DELETE", f"/CreditAccount/{card.id}.json")
        except Rejected as error:
            raise Refused(f"{error} when the card was closed", Refusal.OTHER, card.id) from None
        if said is None:
            raise Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
        return Applied(card.id)

    def _text(self, minor: int) -> str:
        return decimal_from_minor(minor, self._currency)


def _reference(effect: Effect) -> str:
    return effect.marker + (MADE if effect.kind is EffectKind.CREATE else "")


def _stamp(said: dict[str, Any]) -> datetime:
    try:
        at = datetime.fromisoformat(str(said.get("timeStamp")))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InDoubt("Lightspeed's list of cards has a time that cannot be read")
    return at


def _why_not(sales: SaleSettings, sign: Sign) -> str:
    if sign is Sign.UNCONFIRMED:
        return say("makes no cards before `balance_sign` is set")
    missing = sales.missing()
    if missing:
        names = ", ".join(f"`{one}`" for one in missing)
        return say("makes no cards before {names} are set", names=names)
    return say(
        "makes no cards before `giftsync doctor --probe` has shown that a sale carries giftsync's mark"
    )
