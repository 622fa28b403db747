"""What reading tells about a Gift Local account, and a probe of what its documents leave open.

The probe redeems the smallest amount from a test gift and reverses it, if the settings say how. If they name
a program, it makes two gifts of that amount for one external transaction, and redeems both at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext, Verdict
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, FindResult, Save
from connectors.api.errors import Refused, SideError
from connectors.api.side import Side
from connectors.giftlocal.client import (
    NOBODYS_CODE,
    AccountClient,
    CodeUnfit,
    Minting,
    Reversal,
)
from connectors.giftlocal.model import Gift, Reading, minted, names_in, read_gift
from connectors.kit.answers import Rejected
from connectors.kit.examining import (
    error_finding,
    no_access,
    other_currency,
    read_test_card,
    shown_otherwise,
)
from connectors.kit.fields import NotBelieved
from connectors.kit.probing import Trial, not_probed, put_back_earlier
from mappings.money import decimal_from_minor
from mappings.sentences import Money, say
from mappings.serials import Serial, mask

CODE_AS_TEXT: Final = "code_as_text"
REVERSAL: Final = "reversal"
MINTS: Final = "mints_without_mailing"
MINTS_ONCE: Final = "mints_once"
_REDEMPTION: Final = "redemption"


class AccountDoctor:
    """Examines one account."""

    def __init__(
        self,
        side: Side,
        client: AccountClient,
        reading: Reading,
        minting: Minting | None,
        reversal: Reversal | None,
        pause: Callable[[float], None],
    ) -> None:
        self._side = side
        self._client = client
        self._reading = reading
        self._minting = minting
        self._reversal = reversal
        self._pause = pause

    def examine(self, wanted: Expectations) -> ExaminationReport:
        try:
            identity = self._side.identify()
        except SideError as error:
            return no_access(error, say("Check the network, and `url` in the side's table."))
        findings = [Finding("access", Verdict.OK, say("Gift Local accepts the key at this location."))]
        findings.append(self._unknown_code())
        remedy = say("Compare both with the account's gifts; Gift Local does not tell a currency.")
        findings += other_currency(identity.currency, wanted, remedy)
        if wanted.card is not None:
            findings.append(self._card(wanted.card))
        findings.append(self._makes(wanted))
        return ExaminationReport(findings, identity)

    def _unknown_code(self) -> Finding:
        point = "unknown_code"
        try:
            answer = self._client.validate(NOBODYS_CODE)
        except Rejected as error:
            sentence = say("A code that no gift has is not answered with 404: {error}.", error=str(error))
        except SideError as error:
            return error_finding(point, Verdict.UNKNOWN, error)
        else:
            if answer is None:
                return Finding(point, Verdict.OK, say("A code that no gift has is answered as such."))
            sentence = say("A code that no gift has is answered with 200.")
        remedy = say("Ask Gift Local how an unknown code is told; until then such cards count as unreadable.")
        return Finding(point, Verdict.WARNING, sentence, remedy)

    def _card(self, serial: Serial) -> Finding:
        name = mask(serial.last_chars)
        evidence: dict[str, str | int | bool | None] = {}
        try:
            answer = self._client.validate(serial)
            if answer is None:
                absent = say("Gift Local shows no gift {card}.", card=name)
                return Finding("card", Verdict.WARNING, absent, say("Try another code."))
            # The names alone: what they hold may be a code, a name, an address.
            evidence = {"fields": ",".join(names_in(answer))}
            gift = read_gift(answer, self._reading)
            value = gift.value_minor(self._reading.spent_reasons)
        except SideError as error:
            return error_finding("card", Verdict.UNKNOWN, error)
        except (CodeUnfit, Rejected, NotBelieved) as error:
            sentence = say("The gift {card}: {error}.", card=name, error=str(error))
            remedy = say(
                "If nothing is left on it, name the words in `spent_reasons`; else try another gift. "
                "A field's name is in the evidence (`giftsync doctor --json`)."
            )
            return Finding("card", Verdict.WARNING, sentence, remedy, evidence)
        if gift.kind:
            sentence = say(
                "The gift {card} is of another kind ({kind}) and is left out.", card=name, kind=gift.kind
            )
            return Finding("card", Verdict.OK, sentence, evidence=evidence)
        holds = Money(value, self._reading.currency)
        sentence = say("The gift {card} is read; it holds {amount}.", card=name, amount=holds)
        return Finding("card", Verdict.OK, sentence, evidence=evidence)

    def _makes(self, wanted: Expectations) -> Finding:
        can = self._side.capabilities
        if can.creates:
            return Finding(MINTS, Verdict.OK, say("On: gifts are made for cards that are sold elsewhere."))
        known = wanted.known.get(MINTS)
        if known is not None and known.verdict is Verdict.WARNING:
            return Finding(MINTS, Verdict.WARNING, shown_otherwise(known))
        remedy = say("`giftsync doctor --probe --card CODE` tries it.")
        if self._minting is None:
            remedy = say("Name program, storefront and account in the side's table, then probe.")
        sentence = say(
            "Off: the side {why}. Cards that are sold elsewhere are not made here.", why=can.why_no_creates
        )
        return Finding(MINTS, Verdict.WARNING, sentence, remedy)

    # The probe.

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        shown = self._side.lookup(context.card)
        name = mask(context.card.last_chars)
        if not isinstance(shown, Seen) or shown.status is None or shown.brand:
            yield not_probed(
                say("Gift Local shows no gift {card}.", card=name), say("Name a gift by its whole code.")
            )
            return
        card = CardRef(shown.native_id, context.card)
        hindrance = put_back_earlier(card, context, self._pause, self._side, self._end)
        if hindrance is not None:
            yield hindrance
            return
        shown = self._read(card)
        if shown.balance_minor < 2:
            yield not_probed(
                say("The gift {card} holds too little.", card=name),
                say("Name a gift with at least 0.02 on it."),
            )
            return
        yield self._text_code(context.card, shown.native_id)
        trial = Trial(card, shown.last_chars, shown.currency, shown.balance_minor, context, self._pause)
        trial.note()
        try:
            yield self._redeem_and_reverse(trial)
        finally:
            ending = self._end(trial)
        if self._minting is not None:
            yield from self._mint_twice(context, self._minting)
        yield ending

    def _text_code(self, serial: Serial, gift_id: str) -> Finding:
        """Whether a code is taken as a text, which keeps its leading zeros."""
        try:
            answer = self._client.validate(serial, as_text=True)
            same = answer is not None and read_gift(answer, self._reading).id == gift_id
        except (Rejected, NotBelieved, SideError) as error:
            sentence = say("A code is not taken as a text: {error}.", error=str(error))
            return Finding(CODE_AS_TEXT, Verdict.WARNING, sentence)
        if not same:
            sentence = say("A code that is sent as a text is another gift's.")
            return Finding(CODE_AS_TEXT, Verdict.WARNING, sentence)
        sentence = say("Proved: a code is taken as a text, with its leading zeros.")
        return Finding(CODE_AS_TEXT, Verdict.OK, sentence)

    def _redeem_and_reverse(self, trial: Trial) -> Finding:
        move = trial.move(_Redeeming(self._side, trial), EffectKind.DEBIT, 1)
        if not move.landed:
            sentence = say("A redemption was not carried out: {reason}.", reason=move.reason)
            return Finding(REVERSAL, Verdict.WARNING, sentence)
        if self._reversal is None:
            sentence = say(
                "The smallest redemption was carried out; the settings do not say how it is reversed."
            )
            return Finding(
                REVERSAL, Verdict.WARNING, sentence, say("Ask Gift Local, and set `reverse_path`.")
            )
        before = self._read(trial.card).balance_minor
        trial.put_back({EffectKind.CREDIT: [_Reversing(self._client, self._reversal, trial)]}, before)
        after = self._read(trial.card).balance_minor
        if after == before + 1:
            sentence = say("Proved: a redemption is reversed, and its value is back.")
            return Finding(REVERSAL, Verdict.OK, sentence)
        sentence = say("A reversed redemption did not bring its value back.")
        return Finding(REVERSAL, Verdict.WARNING, sentence)

    def _mint_twice(self, context: ProbeContext, wanted: Minting) -> Iterator[Finding]:
        """Make a gift, and again for the same external transaction; redeem all that were made."""
        reference, made = context.new_marker(), dict[str, Gift]()
        amount = float(decimal_from_minor(1, self._reading.currency))
        try:
            for _ in range(2):
                gift = minted(self._client.mint(amount, reference, wanted), self._reading)
                made[gift.id] = gift
        except (Rejected, NotBelieved, SideError) as error:
            sentence = say("A gift was not made as it should be: {error}.", error=str(error))
            yield Finding(MINTS, Verdict.WARNING, sentence)
            return
        finally:
            left = [gift for gift in made.values() if not self._emptied(gift)]
        if left:
            sentence = say(
                "Gifts of the probe that are left with {amount} on each, for {reference}: {count}.",
                amount=Money(1, self._reading.currency),
                reference=reference,
                count=len(left),
            )
            yield Finding(MINTS, Verdict.WARNING, sentence, say("Redeem them by hand."))
            return
        sentence = say("Proved: a gift is made, its code is told, and it can be redeemed.")
        yield Finding(MINTS, Verdict.OK, sentence)
        verdict = Verdict.OK if len(made) == 1 else Verdict.WARNING
        sentence = (
            say("Proved: an external transaction makes one gift, however often it is sent.")
            if len(made) == 1
            else say("An external transaction that is sent again makes another gift.")
        )
        yield Finding(MINTS_ONCE, verdict, sentence, evidence={"gifts": len(made)})

    def _emptied(self, gift: Gift) -> bool:
        try:
            return (
                self._client.redeem(gift.id, float(decimal_from_minor(1, self._reading.currency))) is not None
            )
        except (Rejected, SideError):
            return False

    def _end(self, trial: Trial) -> Finding:
        way = self._reversal
        hands = {} if way is None else {EffectKind.CREDIT: [_Reversing(self._client, way, trial)]}
        return trial.end(hands, self._read)

    def _read(self, card: CardRef) -> Seen:
        return read_test_card(self._side, card)


class _Redeeming:
    """The side's redemption, whose identifier is noted, so that it can be reversed after a crash."""

    def __init__(self, side: Side, trial: Trial) -> None:
        self._side = side
        self._trial = trial

    def apply(self, effect: Effect, save: Save) -> Applied:
        applied = self._side.apply(effect, save)
        if applied.reference is not None:
            self._trial.extra[_REDEMPTION] = applied.reference
        return applied

    def find(self, effect: Effect) -> FindResult:
        return self._side.find(effect)


class _Reversing:
    """Gives back the probe's redemption."""

    def __init__(self, client: AccountClient, way: Reversal, trial: Trial) -> None:
        self._client = client
        self._way = way
        self._trial = trial

    def apply(self, effect: Effect, save: Save) -> Applied:
        redemption: Any = self._trial.extra.get(_REDEMPTION)
        if redemption is None:
            raise Refused(f"no answer told the redemption's {self._way.field}")
        try:
            answer: Mapping[str, Any] | None = self._client.reverse(self._way, str(redemption))
        except Rejected as error:
            raise Refused(str(error)) from None
        if answer is None:
            raise Refused("Gift Local knows neither the address of reversals nor the redemption")
        return Applied(effect.card.native_id or "")

    def find(self, effect: Effect) -> FindResult:
        return CannotTell("a reversal is told by the gift's value alone")
