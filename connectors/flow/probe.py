"""Tries on a test card what reading cannot tell (flow.md §5, §9): notes, debits, refunds and loads of 1.00.

In this order, so that as little as possible can be left over: the note; 1.00 off the card; that payment once
more, which a settled order should refuse; 1.00 back by a return; then, where products are configured, 1.00 on
by a sale and off again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from connectors.api.card import CardRef
from connectors.api.doctor import Finding, ProbeContext, Verdict
from connectors.api.effect import Effect, EffectKind
from connectors.api.errors import InDoubt, SideError
from connectors.flow.client import FlowClient, Rejected
from connectors.flow.discovery import Discovery
from connectors.flow.inferred import INFERRED, missing_needs
from connectors.flow.mapping import instant_text, minor_from_x100
from connectors.flow.model import FlowCard
from connectors.flow.money_effects import BALANCE, ORDER_UID, MoneyEffects
from connectors.flow.refusals import refusal_of_card
from connectors.flow.settings import NUMBER_DIGITS, FlowSettings
from connectors.kit.examining import error_sentence
from connectors.kit.probing import (
    NAME_A_CARD,
    EffectPort,
    Move,
    Trial,
    no_such_card,
    not_probed,
    not_so_that,
    proved_that,
    put_back_earlier,
    sent_twice,
)
from mappings.money import MoneyError, currency_exponent
from mappings.sentences import both, say
from mappings.serials import Serial, mask

NOTE: Final = "giftsync probe"
_NEEDS: Final = {one.setting: one for one in INFERRED}


class FlowProbe:
    """One run of the probe on one tenant."""

    def __init__(
        self,
        client: FlowClient,
        settings: FlowSettings,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._currency = ""
        self._failed: set[str] = set()

    def run(self, context: ProbeContext) -> Iterator[Finding]:
        """See `Examinable.probe`."""
        yield self._unknown_number()
        try:
            card = self._client.card(context.card)
        except Rejected as error:
            yield not_probed(error_sentence(error), say("Name a card that needs no CVC."))
            return
        if card is None:
            yield not_probed(no_such_card("Flow", mask(context.card.last_chars)), NAME_A_CARD)
            return
        self._currency = Discovery(self._client, self._settings).currency()
        ref = CardRef(card.native_id, context.card)
        hindrance = put_back_earlier(ref, context, self._pause, self._port(), self._end)
        if hindrance is not None:
            yield hindrance
            return
        card = self._client.card(context.card)
        if card is None:
            return
        unit_minor = 10 ** currency_exponent(self._currency)
        refusal = refusal_of_card(card, self._clock(), 100)
        if refusal is not None:
            yield not_probed(error_sentence(refusal), say("Name an active card with at least 1.00 on it."))
            return
        trial = self._trial(card, context)
        trial.extra = {"note": card.note, "valid_to": card.valid_to and instant_text(card.valid_to)}
        trial.note()
        try:
            yield self._note(card)
            yield from self._moves(trial, unit_minor)
        finally:
            ending = self._end(trial)
        yield ending

    # What is tried.

    def _unknown_number(self) -> Finding:
        """How Flow answers for a number that is no card; a random one is none, and is only read."""
        point = "empty_answer_means_absent"
        number = Serial("".join(secrets.choice("0123456789") for _ in range(NUMBER_DIGITS)))
        try:
            payload = self._client.card_payload(number)
        except SideError as error:
            words = say("Flow's answer for an unknown number cannot be told: {error}.", error=str(error))
            return Finding(point, Verdict.UNKNOWN, words)
        if payload is None:
            words = say("Flow answers 404 for an unknown number, which says all.")
            return Finding(point, Verdict.UNKNOWN, words)
        if payload == {}:
            words = say("Flow answers an unknown number with an empty object.")
            return Finding(point, Verdict.OK, words)
        return Finding(point, Verdict.UNKNOWN, say("The random number happened to be a card."))

    def _note(self, card: FlowCard) -> Finding:
        """Whether keys that are left out of a change stay as they are (flow.md §3)."""
        point, serial = "put_keeps_the_rest", card.number
        try:
            changed = self._client.change_card(serial, {"note": f"{card.note} {NOTE}".strip()})
            kept = (changed.valid_to, changed.shown_status) == (card.valid_to, card.shown_status)
            back: dict[str, object] = {"note": card.note}
            if changed.valid_to != card.valid_to:
                back["validTo"] = card.valid_to and instant_text(card.valid_to)
            self._client.change_card(serial, back)
        except SideError as error:
            words = say("The card's note could not be changed: {error}.", error=str(error))
            return Finding(point, Verdict.UNKNOWN, words)
        if kept:
            words = say("A change of a card's note leaves its expiry and status alone.")
            return Finding(point, Verdict.OK, words)
        return Finding(
            point,
            Verdict.WARNING,
            say("A change of a card's note also changed its expiry or status; both were put back."),
            say("Tell the makers of giftsync: changes must then send every key."),
        )

    def _moves(self, trial: Trial, unit_minor: int) -> Iterator[Finding]:
        debits = yield from self._try(trial, "api_settlement_debits", EffectKind.DEBIT, unit_minor)
        if debits:
            yield self._settles_once(trial)
            yield from self._try(trial, "refund_settlement_credits", EffectKind.CREDIT, unit_minor)
            # Only what can surely be taken off again is put on.
            yield from self._try(trial, "api_issue_allowed", EffectKind.CREDIT, unit_minor)

    def _try(
        self, trial: Trial, setting: str, kind: EffectKind, unit_minor: int
    ) -> Generator[Finding, None, bool]:
        """One behaviour; gives whether it is proved."""
        missing = missing_needs(self._settings, _NEEDS[setting])
        if missing:
            names = both(f"`{name}`" for name in missing)
            yield Finding(
                setting,
                Verdict.UNKNOWN,
                say("Not tried: it needs {names}.", names=names),
                say("Set {names} in the side's table.", names=names),
            )
            return False
        move = trial.move(self._port(setting), kind, unit_minor)
        if not move.landed:
            self._failed.add(setting)
        yield _judged(setting, move)
        return move.landed

    def _settles_once(self, trial: Trial) -> Finding:
        """Whether the order that has just been settled takes its settlement again."""
        point, move = "order_settles_once", trial.moves[-1]
        claim = _NEEDS[point].claim
        effect = Effect(
            move.marker,
            move.kind,
            trial.card,
            trial.currency,
            amount_minor=move.amount_minor,
            progress=move.progress,
        )
        try:
            landings = self._port("api_settlement_debits").settle_again(effect)
        except SideError as error:
            return sent_twice(point, error)
        if landings is None:
            needs = say("Name a card with 2.00 on it.")
            return Finding(point, Verdict.UNKNOWN, say("Not tried: nothing is left on the card."), needs)
        # What landed again is to be put back as well.
        trial.moves += [move] * (landings - 1)
        trial.note()
        evidence = {"marker": move.marker, "order": move.progress.get(ORDER_UID), "landings": landings}
        if landings == 1:
            return Finding(point, Verdict.OK, proved_that(claim), evidence=evidence)
        return Finding(point, Verdict.WARNING, not_so_that(claim), "", evidence)

    def _port(self, setting: str | None = None) -> MoneyEffects:
        """What moves money in one inferred way, and in no other."""
        loads = setting == "api_issue_allowed"
        settings = replace(
            self._settings,
            api_settlement_debits=setting == "api_settlement_debits",
            refund_settlement_credits=setting == "refund_settlement_credits",
            api_issue_allowed=loads,
            caller_may_choose_number=loads,
        )
        discovery = Discovery(self._client, settings)
        return MoneyEffects(self._client, settings, discovery, self._clock, self._pause)

    # Putting back.

    def _trial(self, card: FlowCard, context: ProbeContext) -> Trial:
        return Trial(
            CardRef(card.native_id, context.card),
            card.number.last_chars,
            self._currency,
            minor_from_x100(card.balance_x100, self._currency),
            context,
            self._pause,
        )

    def _end(self, trial: Trial) -> Finding:
        """Put the card back, and say how it is."""
        ports = {
            EffectKind.DEBIT: self._ports("api_settlement_debits"),
            EffectKind.CREDIT: self._ports("refund_settlement_credits", "api_issue_allowed"),
        }
        try:
            card = self._shown(trial)
            trial.put_back(ports, minor_from_x100(card.balance_x100, self._currency))
            card = self._shown(trial)
            also = self._rest(card, trial)
            return trial.ending(minor_from_x100(card.balance_x100, self._currency), also=also)
        except (SideError, MoneyError) as error:
            return trial.unread(error)

    def _ports(self, *settings: str) -> list[EffectPort]:
        """The ways that can be used; one that has just failed would only leave another stray order."""
        return [
            self._port(name)
            for name in settings
            if name not in self._failed and not missing_needs(self._settings, _NEEDS[name])
        ]

    def _shown(self, trial: Trial) -> FlowCard:
        card = self._client.card(trial.context.card)
        if card is None:
            raise InDoubt("Flow no longer shows the test card")
        return card

    def _rest(self, card: FlowCard, trial: Trial) -> str:
        """Put note and expiry back if they are not yet; what cannot be, in words."""
        valid_to = card.valid_to and instant_text(card.valid_to)
        if (card.note, valid_to) == (trial.extra["note"], trial.extra["valid_to"]):
            return ""
        try:
            self._client.change_card(
                card.number, {"note": trial.extra["note"], "validTo": trial.extra["valid_to"]}
            )
        except SideError as error:
            return say("Its note or expiry could not be put back: {error}.", error=str(error))
        return ""


def _judged(setting: str, move: Move) -> Finding:
    claim = _NEEDS[setting].claim
    evidence = {"marker": move.marker, "order": move.progress.get("order_uid")}
    if move.landed:
        return Finding(setting, Verdict.OK, proved_that(claim), evidence=evidence)
    if move.progress.get(BALANCE):
        return Finding(
            setting,
            Verdict.WARNING,
            say(
                "Not so: that {claim}. The order was settled, and the card's balance did not move.",
                claim=claim,
            ),
            say("Cancel the order of 1.00 in Flow; it is named in the evidence. Ask Flow for another way."),
            evidence,
        )
    words = say("Not shown: that {claim}; {reason}.", claim=claim, reason=move.reason)
    return Finding(setting, Verdict.WARNING, words, "", evidence)
