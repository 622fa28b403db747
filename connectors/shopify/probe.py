"""Tries on a test card what reading cannot tell: 1.00 in, and 1.00 out again (shopify.md §11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import Finding, ProbeContext, Verdict
from connectors.api.effect import EffectKind
from connectors.api.errors import InDoubt, SideError
from connectors.kit.probing import (
    EffectPort,
    Move,
    Trial,
    no_such_card,
    not_probed,
    put_back_earlier,
)
from connectors.shopify import operations
from connectors.shopify.client import ShopifyClient
from connectors.shopify.mapping import instant_of
from connectors.shopify.reads import CardReader
from connectors.shopify.shape import optional_object
from mappings.lifecycle import CardStatus
from mappings.money import currency_exponent
from mappings.sentences import Sentence, say
from mappings.serials import mask

#: `updatedAt` has whole seconds: two changes in one second cannot be told apart.
TICK_SECONDS: Final = 2.0


class ShopifyProbe:
    """One run of the probe on one shop."""

    def __init__(
        self,
        client: ShopifyClient,
        reader: CardReader,
        port: EffectPort,
        pause: Callable[[float], None],
    ) -> None:
        self._client = client
        self._reader = reader
        self._port = port
        self._pause = pause
        self._ports = {EffectKind.DEBIT: [port], EffectKind.CREDIT: [port]}

    def run(self, context: ProbeContext) -> Iterator[Finding]:
        """See `Examinable.probe`."""
        card = self._reader.lookup(context.card)
        name = mask(context.card.last_chars)
        if not isinstance(card, Seen):
            yield not_probed(no_such_card("Shopify", name), say("Name a card by its whole code."))
            return
        ref = CardRef(card.native_id)
        hindrance = put_back_earlier(ref, context, self._pause, self._port, self._end)
        if hindrance is not None:
            yield hindrance
            return
        card = self._card(ref)
        if card.status is not CardStatus.ACTIVE:
            unfit = say("The card {card} is {status}.", card=name, status=card.status_text)
            yield not_probed(unfit, say("Name an active card."))
            return
        yield from self._there_and_back(
            Trial(
                CardRef(card.native_id),
                card.last_chars,
                card.currency,
                card.balance_minor,
                context,
                self._pause,
            )
        )

    def _there_and_back(self, trial: Trial) -> Iterator[Finding]:
        amount_minor = 10 ** currency_exponent(trial.currency)
        trial.note()
        try:
            credit, moved = self._watched(trial, EffectKind.CREDIT, amount_minor)
            yield _updated("updated_at_on_credit", say("credited"), credit, moved)
            if credit.landed:
                debit, moved = self._watched(trial, EffectKind.DEBIT, amount_minor)
                yield _updated("updated_at_on_debit", say("debited"), debit, moved)
                yield self._marks(trial)
        finally:
            # Also when whoever reads the findings stops half-way.
            ending = self._end(trial)
        yield ending

    def _watched(self, trial: Trial, kind: EffectKind, amount_minor: int) -> tuple[Move, bool | None]:
        """Move money, and see whether `updatedAt` moves with it; None when that cannot be read."""
        before = self._updated_at(trial)
        self._pause(TICK_SECONDS)
        move = trial.move(self._port, kind, amount_minor)
        after = self._updated_at(trial)
        return move, None if before is None or after is None else after > before

    def _updated_at(self, trial: Trial) -> datetime | None:
        try:
            data = self._client.read(operations.PROBE_CARD, {"id": trial.card.native_id})
            card = optional_object(data, "giftCard")
            return None if card is None else instant_of(card, "updatedAt")
        except SideError:
            return None

    def _marks(self, trial: Trial) -> Finding:
        """Whether each move shows among the transactions, with its mark."""
        point, sent = "transaction_notes", [move.marker for move in trial.moves if move.landed]
        try:
            card = self._reader.with_entries(trial.card.native_id or "")
        except SideError as error:
            words = say("The card's transactions could not be read: {error}.", error=str(error))
            return Finding(point, Verdict.UNKNOWN, words)
        entries = card.entries if isinstance(card, Seen) else None
        found = [entry.marker for entry in entries or ()]
        if all(found.count(marker) == 1 for marker in sent):
            words = say("giftsync finds its own marks on a card's transactions.")
            return Finding(point, Verdict.OK, words)
        return Finding(
            point,
            Verdict.WARNING,
            say(
                "giftsync does not find its own marks on a card's transactions, so a lost answer needs a "
                "person."
            ),
            say("Tell the makers of giftsync which API version the shop serves."),
        )

    def _card(self, ref: CardRef) -> Seen:
        card = self._reader.card(ref.native_id or "")
        if not isinstance(card, Seen):
            raise InDoubt("Shopify no longer shows the test card")
        return card

    def _end(self, trial: Trial) -> Finding:
        return trial.end(self._ports, self._card)


def _updated(point: str, done: Sentence, move: Move, moved: bool | None) -> Finding:
    if not move.landed or moved is None:
        why = move.reason or say("the card could not be read")
        words = say("The card could not be {done}: {why}.", done=done, why=why)
        return Finding(point, Verdict.UNKNOWN, words)
    if moved:
        return Finding(
            point,
            Verdict.OK,
            say("Shopify marks a card as updated when it is {done}.", done=done),
            evidence={"moves": True},
        )
    return Finding(
        point,
        Verdict.OK,
        say(
            "Shopify does not mark a card as updated when it is {done}; giftsync does not rely on it.",
            done=done,
        ),
        evidence={"moves": False},
    )
