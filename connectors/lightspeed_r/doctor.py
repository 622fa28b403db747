"""What reading tells about an R-Series account, and a probe of its sales on a test card.

The probe redeems 1.00 by a sale, looks for its mark and for the card's time stamp, and loads 1.00 back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext, Verdict
from connectors.api.effect import EffectKind
from connectors.api.errors import SideError
from connectors.api.side import Side
from connectors.kit.examining import (
    error_sentence,
    no_access,
    other_currency,
    read_test_card,
    shown_otherwise,
)
from connectors.kit.fields import NotBelieved
from connectors.kit.probing import (
    NAME_A_CARD,
    Trial,
    no_such_card,
    not_probed,
    not_so_that,
    proved_that,
    put_back_earlier,
)
from connectors.lightspeed_r.client import AccountClient
from connectors.lightspeed_r.model import RCard, Sign, read_card, rows
from connectors.lightspeed_r.sales import Sales
from mappings.lifecycle import CardStatus
from mappings.money import currency_exponent
from mappings.sentences import Money, Sentence, say
from mappings.serials import Serial, mask

MARKER_POINT: Final = "sale_carries_marker"
STAMP_POINT: Final = "timestamp_moves"
_MARKER_CLAIM: Final = say("a sale is read back with the mark that it was made with")
_STAMP_CLAIM: Final = say("a payment moves the time stamp of its card")
ECOM: Final = "ecom"
#: What the settings name: the path, the row, its id, and the key.
_NAMED: Final = (
    ("Employee", "employeeID", "employee_id"),
    ("Shop", "shopID", "shop_id"),
    ("Register", "registerID", "register_id"),
    ("Item", "itemID", "debit_item_id"),
    ("PaymentType", "paymentTypeID", "external_payment_type"),
    ("PaymentType", "paymentTypeID", "gift_card_payment_type"),
)


class AccountDoctor:
    """Examines one account."""

    def __init__(
        self,
        side: Side,
        client: AccountClient,
        sales: Sales,
        currency: str,
        sign: Sign,
        on: Collection[str],
        pause: Callable[[float], None],
    ) -> None:
        """`on` are the points that settings or an earlier probe have switched on."""
        self._side, self._client, self._sales = side, client, sales
        self._currency, self._sign, self._on, self._pause = currency, sign, on, pause

    def examine(self, wanted: Expectations) -> ExaminationReport:
        try:
            said = self._client.get("/CreditAccount.json", {"giftCard": "true", "limit": 1})
            if said is None:
                remedy = say("Check `account` in the side's table.")
                return ExaminationReport(
                    [Finding("access", Verdict.MISSING, say("Lightspeed has no such account."), remedy)]
                )
            found = [Finding("access", Verdict.OK, say("Lightspeed lists the cards with this token."))]
            found += [self._limit(), self._codes(rows(said, "CreditAccount")), self._sign_of(wanted.card)]
            found += self._named()
        except (SideError, NotBelieved) as error:
            return no_access(error, say("Check the network, and `account` and `url` in the side's table."))
        found += other_currency(self._currency, wanted, say("Compare both with the account's settings."))
        found.append(self._claim(MARKER_POINT, _MARKER_CLAIM, wanted, say("giftsync writes nothing here")))
        found.append(
            self._claim(STAMP_POINT, _STAMP_CLAIM, wanted, say("changes are found by looking at each card"))
        )
        try:
            identity = self._side.identify()
        except SideError:
            identity = None
        return ExaminationReport(found, identity)

    def _limit(self) -> Finding:
        level = self._client.bucket.level
        if level is None:
            return Finding("limit", Verdict.UNKNOWN, say("Lightspeed's answers tell no limit of requests."))
        used, size = round(level[0]), round(level[1])
        sentence = say("{used} of {size} units of the bucket are used.", used=used, size=size)
        return Finding("limit", Verdict.OK, sentence, evidence={"used": used, "size": size})

    def _codes(self, shown: list[dict[str, object]]) -> Finding:
        if not shown:
            return Finding("codes", Verdict.UNKNOWN, say("The account has no gift card to read a code of."))
        if "*" in str(shown[0].get("code")):
            return Finding(
                "codes",
                Verdict.MISSING,
                say("Lightspeed shows the codes of cards masked."),
                say("Grant the scope employee:customers_view_gift_card_numbers."),
            )
        return Finding("codes", Verdict.OK, say("The codes of cards are readable."))

    def _sign_of(self, serial: Serial | None) -> Finding:
        """What the named card holds by either reading; a person knows which is right."""
        point, confirmed = "balance_sign", self._sign is not Sign.UNCONFIRMED
        if serial is None:
            if confirmed:
                return Finding(point, Verdict.OK, _sign_words(self._sign))
            return Finding(
                point,
                Verdict.MISSING,
                say(
                    "Nobody has confirmed whether value on a card is shown with a minus; nothing is read "
                    "before."
                ),
                say("`giftsync doctor --card NUMBER` with a card whose value you know."),
            )
        card = self._card(serial, self._sign)
        if card is None:
            return Finding(
                point, Verdict.WARNING, no_such_card("Lightspeed", mask(serial.last_chars)), NAME_A_CARD
            )
        masked, shown = mask(card.last_chars), Money(-card.value_minor, self._currency)
        if confirmed:
            holds = say(
                "The card {card} holds {amount}.", card=masked, amount=Money(card.value_minor, self._currency)
            )
            if card.value_minor >= 0:
                return Finding(point, Verdict.OK, holds)
            remedy = say("Compare it at the till: `balance_sign` may be the wrong one.")
            return Finding(point, Verdict.WARNING, holds, remedy)
        if not shown.minor:
            sentence = say("The card {card} is empty, so it shows no sign.", card=masked)
            return Finding(point, Verdict.MISSING, sentence, say("Name a card that holds money."))
        sentence = say("Lightspeed shows the card {card} with {amount}.", card=masked, amount=shown)
        remedy = say(
            'If the till says that {amount} are left to spend, set `balance_sign = "{sign}"`. If it says '
            "that the customer owes it, do not link this account.",
            amount=Money(abs(shown.minor), self._currency),
            sign=(Sign.NEGATIVE if shown.minor < 0 else Sign.POSITIVE).value,
        )
        return Finding(point, Verdict.MISSING, sentence, remedy)

    def _named(self) -> Iterator[Finding]:
        """Whether the account has what the settings name."""
        missing = self._sales.settings.missing()
        if missing:
            names = ", ".join(f"`{one}`" for one in missing)
            sentence = say("No sale can be made before this is set: {names}.", names=names)
            yield Finding("sales", Verdict.MISSING, sentence, say("Set it in the side's table."))
        for what, id_key, key in _NAMED:
            wanted = getattr(self._sales.settings, key)
            if wanted is None:
                continue
            found = rows(self._client.get(f"/{what}/{wanted}.json"), what)
            if len(found) != 1 or found[0].get(id_key) != wanted:
                sentence = say("The account has no {what} {id}.", what=what, id=wanted)
                yield Finding(
                    key, Verdict.MISSING, sentence, say("Correct `{key}` in the side's table.", key=key)
                )
            elif what == "Register" and str(found[0].get("name", "")).lower() == ECOM:
                sentence = say("The register is eCom, which cannot load gift cards.")
                yield Finding(key, Verdict.MISSING, sentence, say("Name another register in `register_id`."))
            else:
                yield Finding(
                    key, Verdict.OK, say("The account has the {what} of `{key}`.", what=what, key=key)
                )

    def _claim(self, point: str, claim: Sentence, wanted: Expectations, until: Sentence) -> Finding:
        known = wanted.known.get(point)
        if known is not None and known.verdict is Verdict.WARNING:
            return Finding(point, Verdict.WARNING, shown_otherwise(known))
        if point in self._on:
            return Finding(point, Verdict.OK, say("On: {claim}.", claim=claim))
        remedy = say("`giftsync doctor --probe --card NUMBER` tries it on a test card.")
        sentence = say("Off: nobody has shown that {claim}. Until then {until}.", claim=claim, until=until)
        return Finding(point, Verdict.WARNING, sentence, remedy)

    # The probe.

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        name = mask(context.card.last_chars)
        if self._sign is Sign.UNCONFIRMED:
            yield not_probed(say("`balance_sign` is not set."), say("`giftsync doctor --card NUMBER` first."))
            return
        shown = self._side.lookup(context.card)
        if not isinstance(shown, Seen):
            yield not_probed(no_such_card("Lightspeed", name), NAME_A_CARD)
            return
        card = CardRef(shown.native_id, context.card)
        try:
            hindrance = put_back_earlier(card, context, self._pause, self._side, self._end)
            if hindrance is not None:
                yield hindrance
                return
            shown, before = self._read(card), self._stamp(card)
        except SideError as error:
            yield not_probed(error_sentence(error), say("Try again later."))
            return
        unit_minor = 10 ** currency_exponent(shown.currency)
        if shown.status is not CardStatus.ACTIVE or shown.balance_minor < unit_minor:
            yield not_probed(
                say("The card {card} is archived, or too little is on it.", card=name),
                say("Name a card in use with 1.00 on it."),
            )
            return
        trial = Trial(card, shown.last_chars, shown.currency, shown.balance_minor, context, self._pause)
        trial.note()
        try:
            yield from self._sell(trial, unit_minor, before)
        finally:
            ending = self._end(trial)
        yield ending

    def _sell(self, trial: Trial, unit_minor: int, before: str) -> Iterator[Finding]:
        """Redeem by a sale, and look at what the sale and the card show."""
        move = trial.move(self._side, EffectKind.DEBIT, unit_minor)
        if not move.landed:
            words = say("A sale was not made: {reason}.", reason=move.reason)
            yield Finding(MARKER_POINT, Verdict.WARNING, words)
            return
        try:
            shown, after = self._read(trial.card), self._stamp(trial.card)
        except SideError as error:
            words = say("A sale was made, and then {error}.", error=str(error))
            yield Finding(MARKER_POINT, Verdict.UNKNOWN, words, say("Try again."))
            return
        landings = sum(one.marker == move.marker for one in shown.entries or ())
        evidence: dict[str, str | int | bool | None] = {"marker": move.marker, "landings": landings}
        if landings == 1:
            yield Finding(MARKER_POINT, Verdict.OK, proved_that(_MARKER_CLAIM), evidence=evidence)
        else:
            remedy = say("Try the other `marker_field`.")
            yield Finding(MARKER_POINT, Verdict.WARNING, not_so_that(_MARKER_CLAIM), remedy, evidence)
        if after != before:
            yield Finding(STAMP_POINT, Verdict.OK, proved_that(_STAMP_CLAIM))
        else:
            yield Finding(STAMP_POINT, Verdict.WARNING, not_so_that(_STAMP_CLAIM))

    def _end(self, trial: Trial) -> Finding:
        return trial.end({kind: [self._side] for kind in (EffectKind.CREDIT, EffectKind.DEBIT)}, self._read)

    def _read(self, card: CardRef) -> Seen:
        return read_test_card(self._side, card, entries=True)

    def _stamp(self, card: CardRef) -> str:
        found = rows(self._client.get(f"/CreditAccount/{card.native_id}.json"), "CreditAccount")
        return str(found[0].get("timeStamp")) if found else ""

    def _card(self, serial: Serial, sign: Sign) -> RCard | None:
        params = {"giftCard": "true", "archived": "true", "code": serial.reveal()}
        found = rows(self._client.get("/CreditAccount.json", params), "CreditAccount")
        return read_card(found[0], self._currency, sign) if len(found) == 1 else None


def _sign_words(sign: Sign) -> Sentence:
    if sign is Sign.NEGATIVE:
        return say("Set: value on a card is shown with a minus.")
    return say("Set: value on a card is shown without a minus.")
