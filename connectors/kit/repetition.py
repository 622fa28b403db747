"""A probe for systems that take an idempotency key: does a request that comes again move money again?

It takes one unit of the currency from a test card, sends the same request again, and puts the card back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import Expectations, Finding, ProbeContext, Verdict
from connectors.api.effect import Effect, EffectKind, no_save
from connectors.api.errors import SideError
from connectors.api.side import Side
from connectors.kit.examining import error_sentence, read_test_card, shown_otherwise
from connectors.kit.probing import (
    NAME_A_CARD,
    Trial,
    no_such_card,
    not_probed,
    not_so_that,
    proved_that,
    put_back_earlier,
    sent_twice,
)
from mappings.lifecycle import CardStatus
from mappings.money import currency_exponent
from mappings.sentences import in_a_row, say
from mappings.serials import mask


@dataclass(frozen=True)
class RepetitionProbe:
    """The probe of one side."""

    side: Side
    #: The finding's stable name, such as `client_id_applies_once`.
    point: str
    #: What is proved, after "that": `a request that … moves no money again`.
    claim: str
    #: As people call the side.
    system: str
    pause: Callable[[float], None]

    def standing(self, wanted: Expectations) -> Finding:
        """What is known of the point without trying it."""
        known = wanted.known.get(self.point)
        if self.side.capabilities.applies_marker_once:
            return Finding(self.point, Verdict.OK, say("On: {claim}.", claim=self.claim))
        if known is not None and known.verdict is Verdict.WARNING:
            return Finding(self.point, Verdict.WARNING, shown_otherwise(known))
        return Finding(
            self.point,
            Verdict.WARNING,
            say(
                "Off: nobody has shown that {claim}. Until then giftsync waits before it repeats one.",
                claim=self.claim,
            ),
            say("`giftsync doctor --probe --card NUMBER` tries it on a test card."),
        )

    def run(self, context: ProbeContext) -> Iterator[Finding]:
        """Try it, and put the card back as it was, whatever happens."""
        shown = self.side.lookup(context.card)
        name = mask(context.card.last_chars)
        if not isinstance(shown, Seen):
            yield not_probed(no_such_card(self.system, name), NAME_A_CARD)
            return
        card = CardRef(shown.native_id, context.card)
        hindrance = put_back_earlier(card, context, self.pause, self.side, self._end)
        if hindrance is not None:
            yield hindrance
            return
        try:
            shown = self._read(card)
        except SideError as error:
            yield not_probed(error_sentence(error), say("Try again later."))
            return
        unit_minor = 10 ** currency_exponent(shown.currency)
        if shown.status is not CardStatus.ACTIVE or shown.balance_minor < 2 * unit_minor:
            yield not_probed(
                say("The card {card} is not active, or too little is on it.", card=name),
                say("Name an active card with 2.00 on it."),
            )
            return
        trial = Trial(card, shown.last_chars, shown.currency, shown.balance_minor, context, self.pause)
        trial.note()
        try:
            yield self._repeat(trial, unit_minor)
        finally:
            ending = self._end(trial)
        yield ending

    def _repeat(self, trial: Trial, unit_minor: int) -> Finding:
        """Take money, and take it again under the same marker."""
        move = trial.move(self.side, EffectKind.DEBIT, unit_minor)
        if not move.landed:
            words = say("A redemption was not carried out: {reason}.", reason=move.reason)
            return Finding(self.point, Verdict.WARNING, words)
        effect = Effect(move.marker, EffectKind.DEBIT, trial.card, trial.currency, amount_minor=unit_minor)
        try:
            self.side.apply(effect, no_save)
        except SideError as error:
            answered = [say("The repetition was answered: {error}.", error=str(error))]
        else:
            answered = []
        try:
            shown = self._read(trial.card)
        except SideError as error:
            return sent_twice(self.point, error)
        landings = sum(one.marker == move.marker for one in shown.entries or ())
        evidence: dict[str, str | int | bool | None] = {"marker": move.marker, "landings": landings}
        for _ in range(landings - 1):
            # What landed again is to be put back as well.
            trial.moves.append(move)
        trial.note()
        if landings == 1:
            proved = in_a_row([proved_that(self.claim), *answered])
            return Finding(self.point, Verdict.OK, proved, evidence=evidence)
        return Finding(self.point, Verdict.WARNING, not_so_that(self.claim), "", evidence)

    def _end(self, trial: Trial) -> Finding:
        return trial.end({kind: [self.side] for kind in (EffectKind.CREDIT, EffectKind.DEBIT)}, self._read)

    def _read(self, card: CardRef) -> Seen:
        return read_test_card(self.side, card, entries=True)
