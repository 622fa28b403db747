"""X-Series as a side: the marker is the client id of each transaction, so each intent can be read back.

A create is two requests: the card is issued with all but one minor unit, and a load of that unit carries the
marker, since the request that issues a card takes none (lightspeed.md §B2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from connectors.api.abilities import Abilities
from connectors.api.build import BuildContext
from connectors.api.capabilities import Capabilities, Identity, Place
from connectors.api.card import CardRef, Seen
from connectors.api.effect import Applied, Effect, EffectKind, FindResult, Found, NotFound, Save
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed
from connectors.api.feed import Feed, Hint, HintPage
from connectors.kit.answers import Rejected
from connectors.kit.fields import NotBelieved
from connectors.kit.one_client import CardByCardSide
from connectors.kit.renewal import TokenSource
from connectors.lightspeed_x.client import RetailerClient
from connectors.lightspeed_x.doctor import RetailerDoctor
from connectors.lightspeed_x.model import ISSUED, MADE, Line, XCard, read_card, read_line
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor
from mappings.sentences import say
from mappings.serials import Serial, SerialError

NEW_CARDS: Final = "new-cards"
CLIENT_ID_APPLIES_ONCE: Final = "client_id_applies_once"
PAGE_SIZE: Final = 100
#: So many of the newest ids are the cursor: the list's order under inserts is not documented.
CURSOR_IDS: Final = 20
#: What an effect saves before its first request.
SENT: Final = {"sent": "yes"}


class LightspeedXSide(CardByCardSide):
    """One retailer. Thread-safe."""

    _client: RetailerClient
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
        client_id_applies_once: bool,
        letters_in_numbers: bool,
    ) -> None:
        self.name = context.name
        self.known_as = identity
        self.feeds: Sequence[Feed] = (Feed(NEW_CARDS, 30.0, tells_changes=False),)
        self.capabilities = Capabilities(
            creates=True,
            debits=True,
            credits=True,
            sets_expiry=False,
            sets_status=frozenset({CardStatus.CLOSED}),
            notifies=False,
            lists_entries=True,
            hides_serials=False,
            moves_when_suspended=False,
            read_batch_max=1,
            serial_length_min=8,
            serial_length_max=20,
            serial_digits_only=not letters_in_numbers,
            applies_marker_once=client_id_applies_once,
        )
        self.abilities = Abilities(
            examinable=self,
            place=context.place(
                Place("Lightspeed X-Series", "X-Series", where="lightspeed", at=say("at the Lightspeed till"))
            ),
            keeps_cards_in=identity,
        )
        self._client = RetailerClient(url, tokens, context.clock, context.pause)
        self._clock, self._pause = context.clock, context.pause
        self._currency, self._timezone = currency, context.timezone
        self._doctor = RetailerDoctor(self, self._client, context.pause)

    def __repr__(self) -> str:
        return f"LightspeedXSide({self.name!r})"

    def identify(self) -> Identity:
        if self._client.get(params={"page_size": 1}) is None:
            raise SideClosed("Lightspeed has no such retailer", "Check `prefix` in the side's table.")
        return Identity(self.known_as, self._currency, self._timezone)

    def find(self, effect: Effect) -> FindResult:
        try:
            card = self._card(effect.card)
        except NotBelieved as error:
            raise InDoubt(f"{self._misread}: {error}") from None
        if card is None:
            return NotFound()
        if effect.kind is EffectKind.SET_STATUS:
            is_so = card.status == "VOIDED" and effect.status is CardStatus.CLOSED
            return Found(1, card.id) if is_so else NotFound()
        # A create of which only the first half has landed is carried on from there.
        landed = card.landed(_client_id(effect))
        return Found(len(landed), card.id, landed[0].id) if landed else NotFound()

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        if feed != NEW_CARDS:
            raise ValueError(f"Lightspeed has no feed {feed!r}")
        known, newest, before = set(filter(None, (cursor or "").split(","))), "", ""
        while True:
            params = {"page_size": PAGE_SIZE} | ({"before": before} if before else {})
            page = self._page(params)
            ids = [card["id"] for card in page]
            newest = newest or ",".join(ids[:CURSOR_IDS])
            met = [position for position, one in enumerate(ids) if one in known]
            fresh = page[: met[-1]] if met else page
            hints = [self._hint(card) for card in fresh if card["id"] not in known]
            if met or len(page) < PAGE_SIZE:
                if hints:
                    yield HintPage(hints, newest)
                return
            # Until the walk has met what is known, it is begun anew after a crash.
            yield HintPage(hints, cursor or "")
            before = ids[-1]

    # Reading.

    def _seen(self, card: CardRef, at: datetime, *, entries: bool, urgent: bool) -> Seen | None:
        found = self._card(card, urgent=urgent)
        return None if found is None else found.seen(self._currency, self._timezone, at, entries=entries)

    def _card(self, ref: CardRef, *, urgent: bool = True) -> XCard | None:
        """The card by its id, or by its number as it was written. Raises NotBelieved."""
        if ref.native_id is not None:
            said = self._client.get("by_id", ref.native_id, urgent=urgent)
        else:
            number = ref.serial.reveal() if ref.serial is not None else ""
            said = self._client.get("by_number", number, urgent=urgent)
            if said is None and not number.isdigit():
                said = self._client.get("by_number", number.upper(), urgent=urgent)
        return None if said is None else read_card(said["data"], self._currency)

    def _page(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        said = self._client.get(params=params)
        page = said["data"] if said is not None else None
        if not isinstance(page, list) or not all(
            isinstance(one, dict) and isinstance(one.get("id"), str) and isinstance(one.get("number"), str)
            for one in page
        ):
            raise InDoubt("Lightspeed's list of cards is not known in this form")
        return page

    def _hint(self, said: dict[str, Any]) -> Hint:
        try:
            serial: Serial | None = Serial(said["number"])
        except SerialError:
            serial = None
        try:
            created_by = read_card(said, self._currency).created_by
        except NotBelieved:
            created_by = None
        return Hint(
            CardRef(said["id"], serial),
            NEW_CARDS,
            serial.last_chars if serial is not None else "",
            created_by=created_by,
            sold_here=said.get("sale_id") is not None,
        )

    # Writing.

    def _create(self, effect: Effect, save: Save) -> Applied:
        if effect.card.serial is None:
            raise Refused("the card has no number", Refusal.BAD_SERIAL)
        if effect.amount_minor < 2:
            raise Refused("a card is made with at least two minor units", Refusal.OTHER)
        by_number = CardRef(serial=effect.card.serial)
        card = self._card(by_number)
        if card is None:
            save(SENT)
            effect = replace(effect, progress={**effect.progress, **SENT})
            card = self._issued(effect, by_number)
        if not card.landed(_client_id(effect)):
            if not self._is_half_made(card, effect):
                raise Refused("the number is in use", Refusal.TAKEN, card.id)
            self._transact(card.number, effect, "RELOADING", 1, by_number)
        return Applied(card.id, reference=card.lines[0].id if card.lines else None)

    def _issued(self, effect: Effect, by_number: CardRef) -> XCard:
        """The card with all but the last minor unit, or whatever card took the number meanwhile."""
        number = effect.card.serial.reveal() if effect.card.serial is not None else ""
        body: dict[str, Any] = {"number": number, "amount": self._text(effect.amount_minor - 1)}
        if effect.expires_on is not None:
            body |= {"expires_at": effect.expires_on.isoformat(), "time_zone": self._timezone}
        try:
            said = self._client.send("POST", body=body)
        except Rejected as error:
            card = self._card(by_number)
            if card is None:
                raise Refused(f"{error} to the card's number or amount", Refusal.OTHER) from None
            return card
        if said is None:
            raise InDoubt("Lightspeed answered 404 to a new card")
        return read_card(said["data"], self._currency)

    def _is_half_made(self, card: XCard, effect: Effect) -> bool:
        """Whether an earlier attempt of this create issued it: it saw the number free, and asked for this."""
        first = card.lines[0] if card.lines else None
        return (
            "sent" in effect.progress
            and card.made_by_api
            and card.created_by is None
            and first is not None
            and (first.type, first.amount_minor) == (ISSUED, effect.amount_minor - 1)
        )

    def _move(self, effect: Effect, save: Save) -> Applied:
        serial = effect.card.serial
        # A repetition reads first, so that the retailer need not remember the client id for long.
        if "sent" in effect.progress or serial is None or not serial.reveal().isdigit():
            card = self._card(effect.card)
            if card is None:
                raise Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
            landed = card.landed(_client_id(effect))
            if landed:
                return Applied(card.id, card.held_minor, landed[0].id)
            number, native_id = card.number, card.id
        else:
            number, native_id = serial.reveal(), effect.card.native_id or ""
        save(SENT)
        sign, kind = (1, "RELOADING") if effect.kind is EffectKind.CREDIT else (-1, "REDEEMING")
        made = self._transact(number, effect, kind, sign * effect.amount_minor, effect.card)
        if not native_id:
            card = self._card(effect.card)
            native_id = card.id if card is not None else ""
        return Applied(native_id, reference=made.id)

    def _transact(self, number: str, effect: Effect, kind: str, minor: int, ref: CardRef) -> Line:
        client_id = _client_id(effect)
        body = {"type": kind, "amount": self._text(minor), "client_id": client_id}
        try:
            said = self._client.send("POST", number, "transactions", body=body)
        except Rejected as error:
            raise self._refusal(error, ref, minor) from None
        if said is None:
            raise Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
        line = read_line(said["data"], self._currency)
        if (line.client_id, line.type, line.amount_minor) != (client_id, kind, minor):
            raise InDoubt("Lightspeed answers with another transaction than was asked for")
        return line

    def _refusal(self, error: Rejected, ref: CardRef, minor: int) -> Refused:
        """Why, by what the card shows: the words of a refusal are not published."""
        card = self._card(ref)
        if card is None:
            return Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
        match card.status:
            case "EXPIRED":
                return Refused("the card has expired", Refusal.EXPIRED, card.id)
            case "VOIDED" | "INACTIVE":
                return Refused("the card is not active", Refusal.NOT_ACTIVE, card.id)
        if minor < 0 and card.balance_minor + minor < 0:
            return Refused("the card holds less", Refusal.INSUFFICIENT_FUNDS, card.id)
        return Refused(f"{error} and the card shows no reason", Refusal.OTHER, card.id)

    def _close(self, effect: Effect) -> Applied:
        card = self._card(effect.card)
        if card is None:
            raise Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
        if card.status != "VOIDED":
            try:
                said = self._client.send("DELETE", "by_id", card.id)
            except Rejected as error:
                raise self._refusal(error, CardRef(card.id), 0) from None
            if said is None:
                raise Refused("Lightspeed has no such card", Refusal.NOT_FOUND)
        return Applied(card.id)

    def _text(self, minor: int) -> str:
        return decimal_from_minor(minor, self._currency)


def _client_id(effect: Effect) -> str:
    return effect.marker + (MADE if effect.kind is EffectKind.CREATE else "")
