"""What reading tells about a Maestra project, and a probe of what its documents leave open.

The probe pays the smallest amount from a test card, sends the same order again, and cancels it, if the
settings name an operation for that. If they name a pool, it imports one number with the smallest value, which
stays in the pool as a card that was never sold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from typing import Final

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext, Verdict
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, FindResult, Save
from connectors.api.errors import Refused, SideError
from connectors.api.side import Side
from connectors.kit.examining import no_access, other_currency, read_test_card, shown_otherwise
from connectors.kit.probing import (
    NAME_A_CARD,
    Move,
    Trial,
    no_such_card,
    not_probed,
    put_back_earlier,
)
from connectors.maestra.client import Invalid, ProjectClient
from connectors.maestra.model import (
    NOBODYS_NUMBER,
    Wire,
    are_among,
    new_cards_file,
    paying_order,
)
from mappings.lifecycle import CardStatus
from mappings.sentences import Money, say
from mappings.serials import Serial, mask

ORDER_ONCE: Final = "order_id_applies_once"
#: Not proof of that: what proves it are words in the settings.
KNOWN_ORDER: Final = "known_order_reasons"
NEW_CARDS: Final = "imports_new_cards"
CANCELS: Final = "cancelled_order_restores"
#: How long the probe's import is waited for, in seconds.
LOOKS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)


class ProjectDoctor:
    """Examines one project."""

    def __init__(
        self,
        side: Side,
        client: ProjectClient,
        wire: Wire,
        known_order_reasons: Collection[str],
        pause: Callable[[float], None],
    ) -> None:
        self._side = side
        self._client = client
        self._wire = wire
        self._known_order_reasons = known_order_reasons
        self._pause = pause

    def examine(self, wanted: Expectations) -> ExaminationReport:
        try:
            identity = self._side.identify()
        except SideError as error:
            return no_access(error, say("Check the network, and `url` in the side's table."))
        findings = [Finding("access", Verdict.OK, say("Maestra accepts the key and calculates an order."))]
        findings += [self._absent(), self._imports()]
        remedy = say("Compare both with the project's settings; Maestra's answers tell no currency.")
        findings += other_currency(identity.currency, wanted, remedy)
        if wanted.card is not None:
            findings.append(self._card(wanted.card))
        findings += [self._pays(), self._makes(wanted)]
        return ExaminationReport(findings, identity)

    def _absent(self) -> Finding:
        point = "unknown_number"
        shown = self._side.lookup(Serial(NOBODYS_NUMBER))
        if not hasattr(shown, "reason"):
            return Finding(point, Verdict.OK, say("Maestra says so when no card has a number."))
        sentence = say("A number that no card has is answered so: {reason}.", reason=shown.reason)
        remedy = say(
            "If these words say that there is no such card, name them in `absent_reasons`; else check "
            "`endpoint` and the names of the operations in the side's table."
        )
        return Finding(point, Verdict.WARNING, sentence, remedy)

    def _imports(self) -> Finding:
        left = self._client.imports_left
        sentence = say("{left} imports are left in this hour.", left=left)
        return Finding("imports", Verdict.OK, sentence, evidence={"left": left})

    def _card(self, serial: Serial) -> Finding:
        name, shown = mask(serial.last_chars), self._side.lookup(serial)
        if isinstance(shown, Seen):
            sentence = say(
                "The card {card} is read: {status}, {amount}.",
                card=name,
                status=shown.status_text,
                amount=Money(shown.balance_minor, shown.currency),
            )
            remedy = "" if shown.status is not None else say("Tell which status that is.")
            verdict = Verdict.OK if shown.status is not None else Verdict.WARNING
            return Finding("card", verdict, sentence, remedy, {"pool_product": shown.brand})
        reason = getattr(shown, "reason", say("there is no such card"))
        sentence = say("The card {card}: {reason}.", card=name, reason=reason)
        return Finding("card", Verdict.WARNING, sentence, say("Compare with Maestra's interface."))

    def _pays(self) -> Finding:
        if self._wire.pay:
            sentence = say("On: what is spent elsewhere is paid with the card here.")
            return Finding("payments", Verdict.OK, sentence)
        sentence = say("Off: the table names no operation that saves a paying order.")
        return Finding("payments", Verdict.WARNING, sentence, say("Name it in `pay_operation`."))

    def _makes(self, wanted: Expectations) -> Finding:
        can = self._side.capabilities
        if can.creates:
            return Finding(NEW_CARDS, Verdict.OK, say("On: cards that are sold elsewhere are made here."))
        known = wanted.known.get(NEW_CARDS)
        if known is not None and known.verdict is Verdict.WARNING:
            return Finding(NEW_CARDS, Verdict.WARNING, shown_otherwise(known))
        remedy = say(
            "Name `pool_product` and `sell_operation`, then `giftsync doctor --probe --card NUMBER`."
        )
        sentence = say("Off: the side {why}.", why=can.why_no_creates)
        return Finding(NEW_CARDS, Verdict.WARNING, sentence, remedy)

    # The probe.

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        shown = self._side.lookup(context.card)
        name = mask(context.card.last_chars)
        if not isinstance(shown, Seen):
            yield not_probed(no_such_card("Maestra", name), NAME_A_CARD)
            return
        card = CardRef(shown.native_id, context.card)
        hindrance = put_back_earlier(card, context, self._pause, self._side, self._end)
        if hindrance is not None:
            yield hindrance
            return
        shown = self._read(card)
        if self._wire.pool_product:
            yield self._import_one(context.new_marker())
        if not self._wire.pay:
            yield not_probed(
                say("The side's table names no `pay_operation`."), say("Name it, and probe again.")
            )
            return
        if shown.status is not CardStatus.ACTIVE or shown.balance_minor < 3:
            yield not_probed(
                say("The card {card} is not activated, or too little is on it.", card=name),
                say("Name a card with at least 0.03 on it."),
            )
            return
        trial = Trial(card, shown.last_chars, shown.currency, shown.balance_minor, context, self._pause)
        trial.note()
        try:
            yield from self._pay_twice(trial, context.card)
        finally:
            ending = self._end(trial)
        yield ending

    def _pay_twice(self, trial: Trial, serial: Serial) -> Iterator[Finding]:
        """Pay, and save the same order again."""
        move = trial.move(self._side, EffectKind.DEBIT, 1)
        if not move.landed:
            sentence = say("A payment was not carried out: {reason}.", reason=move.reason)
            yield Finding(ORDER_ONCE, Verdict.WARNING, sentence)
            return
        order = paying_order(self._wire, serial.reveal(), 1, None, move.marker)
        words, is_known = "", False
        try:
            self._client.save(self._wire.pay, order)
        except Invalid as error:
            words, is_known = str(error), are_among(error.reasons, self._known_order_reasons)
        except SideError as error:
            sentence = say("The repetition had no clear answer: {error}.", error=str(error))
            yield Finding(ORDER_ONCE, Verdict.UNKNOWN, sentence)
            return
        landings = trial.before_minor - self._read(trial.card).balance_minor
        for _ in range(landings - 1):
            # What landed again is to be put back as well.
            trial.moves.append(move)
        trial.note()
        yield _of_repetition(landings, words, is_known=is_known)
        yield from self._cancel(trial, move)

    def _cancel(self, trial: Trial, move: Move) -> Iterator[Finding]:
        if not self._wire.cancel:
            return
        before = self._read(trial.card).balance_minor
        trial.put_back({EffectKind.CREDIT: [_Cancelling(self._client, self._wire, move.marker)]}, before)
        if self._read(trial.card).balance_minor > before:
            given_back = say("Proved: a cancelled order gives the card its money back.")
            yield Finding(CANCELS, Verdict.OK, given_back)
        else:
            yield Finding(CANCELS, Verdict.WARNING, say("A cancelled order does not give the money back."))

    def _import_one(self, marker: str) -> Finding:
        """Import a number that nobody has, and look for the card."""
        digits = f"{int(hashlib.sha256(marker.encode()).hexdigest(), 16):016d}"[-12:]
        number = Serial(f"9900{digits}")
        name = mask(number.last_chars)
        try:
            rows = [(number.reveal(), 1)]
            self._client.import_rows(self._wire.new_cards, new_cards_file(self._wire, rows))
            for seconds in LOOKS:
                shown = self._side.lookup(number)
                if isinstance(shown, Seen):
                    break
                self._pause(seconds)
        except (Invalid, SideError) as error:
            sentence = say("A number was not imported: {error}.", error=str(error))
            return Finding(NEW_CARDS, Verdict.WARNING, sentence)
        if not isinstance(shown, Seen):
            sentence = say("The number {card} was imported, and there is no card.", card=name)
            return Finding(NEW_CARDS, Verdict.WARNING, sentence, say("See Maestra's log of imports."))
        if shown.status is not CardStatus.INACTIVE:
            sentence = say(
                "The imported card {card} does not wait to be sold: {status}.",
                card=name,
                status=shown.status_text,
            )
            return Finding(NEW_CARDS, Verdict.WARNING, sentence)
        sentence = say(
            "Proved: an imported number is a card that waits to be sold. {card} stays in the pool.", card=name
        )
        return Finding(NEW_CARDS, Verdict.OK, sentence)

    def _end(self, trial: Trial) -> Finding:
        landed = [move.marker for move in trial.moves if move.landed and move.signed_minor < 0]
        hands = {}
        if self._wire.cancel and landed:
            hands = {EffectKind.CREDIT: [_Cancelling(self._client, self._wire, landed[0])]}
        return trial.end(hands, self._read)

    def _read(self, card: CardRef) -> Seen:
        return read_test_card(self._side, card)


class _Cancelling:
    """Gives back what one order of the probe took."""

    def __init__(self, client: ProjectClient, wire: Wire, marker: str) -> None:
        self._client = client
        self._wire = wire
        self._marker = marker

    def apply(self, effect: Effect, save: Save) -> Applied:
        if effect.amount_minor != 1:
            raise Refused("an order that was carried out twice cannot be cancelled twice")
        try:
            self._client.save(self._wire.cancel, {"ids": {"externalId": self._marker}})
        except Invalid as error:
            raise Refused(str(error)) from None
        return Applied(effect.card.native_id or "")

    def find(self, effect: Effect) -> FindResult:
        return CannotTell("a cancelled order is told by the card's value alone")


def _of_repetition(landings: int, words: str, *, is_known: bool) -> Finding:
    evidence: dict[str, str | int | bool | None] = {"landings": landings}
    if landings != 1:
        sentence = say("An order that is saved again under its id takes the money again.")
        return Finding(ORDER_ONCE, Verdict.WARNING, sentence, evidence=evidence)
    if is_known:
        sentence = say(
            "An order that is saved again takes nothing, and is answered with words that are named."
        )
        return Finding(KNOWN_ORDER, Verdict.OK, sentence, evidence=evidence)
    if words:
        sentence = say(
            "An order that is saved again takes nothing, and is answered so: {words}.", words=words
        )
        remedy = say(
            "Name Maestra's words in `known_order_reasons`: then such an answer says that it is there."
        )
        return Finding(ORDER_ONCE, Verdict.WARNING, sentence, remedy, evidence)
    sentence = say("Proved: an order that is saved again under its id moves no money again.")
    return Finding(ORDER_ONCE, Verdict.OK, sentence, evidence=evidence)
