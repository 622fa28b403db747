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
from connectors.kit.answers import Rejected
from connectors.kit.examining import no_access, other_currency, read_test_card
from connectors.kit.fields import NotBelieved
from connectors.kit.probing import Trial, not_probed, put_back_earlier
from connectors.lightspeed_r.client import AccountClient
from connectors.lightspeed_r.model import RCard, Sign, read_card, rows
from connectors.lightspeed_r.sales import Sales
from mappings.lifecycle import CardStatus
from mappings.money import currency_exponent, format_money
from mappings.sentences import say
from mappings.serials import Serial, mask

MARKER_POINT: Final = "sale_carries_marker"
STAMP_POINT: Final = "timestamp_moves"
_MARKER_CLAIM: Final = "a sale is read back with the mark that it was made with"
_STAMP_CLAIM: Final = "a payment moves the time stamp of its card"
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
                remedy = "Check `account` in the side's table."
                return ExaminationReport(
                    [Finding("access", Verdict.MISSING, "Lightspeed has no such account.", remedy)]
                )
            found = [Finding("access", Verdict.OK, "Lightspeed lists the cards with this token.")]
            found += [self._limit(), self._codes(rows(said, "CreditAccount")), self._sign_of(wanted.card)]
            found += self._named()
        except (SideError, NotBelieved, Rejected) as error:
            return no_access(error, "Check the network, and `account` and `url` in the side's table.")
        found += other_currency(self._currency, wanted, say("Compare both with the account's settings."))
        found.append(self._claim(MARKER_POINT, _MARKER_CLAIM, wanted, "giftsync writes nothing here"))
        found.append(
            self._claim(STAMP_POINT, _STAMP_CLAIM, wanted, "changes are found by looking at each card")
        )
        try:
            identity = self._side.identify()
        except SideError:
            identity = None
        return ExaminationReport(found, identity)

    def _limit(self) -> Finding:
        level = self._client.bucket.level
        if level is None:
            return Finding("limit", Verdict.UNKNOWN, "Lightspeed's answers tell no limit of requests.")
        used, size = round(level[0]), round(level[1])
        sentence = f"{used} of {size} units of the bucket are used."
        return Finding("limit", Verdict.OK, sentence, evidence={"used": used, "size": size})

    def _codes(self, shown: list[dict[str, object]]) -> Finding:
        if not shown:
            return Finding("codes", Verdict.UNKNOWN, "The account has no gift card to read a code of.")
        if "*" in str(shown[0].get("code")):
            return Finding(
                "codes",
                Verdict.MISSING,
                "Lightspeed shows the codes of cards masked.",
                "Grant the scope employee:customers_view_gift_card_numbers.",
            )
        return Finding("codes", Verdict.OK, "The codes of cards are readable.")

    def _sign_of(self, serial: Serial | None) -> Finding:
        """What the named card holds by either reading; a person knows which is right."""
        point, confirmed = "balance_sign", self._sign is not Sign.UNCONFIRMED
        if serial is None:
            if confirmed:
                return Finding(point, Verdict.OK, f"Set: value on a card is shown {_sign_words(self._sign)}.")
            return Finding(
                point,
                Verdict.MISSING,
                "Nobody has confirmed whether value on a card is shown with a minus; nothing is read before.",
                "`giftsync doctor --card NUMBER` with a card whose value you know.",
            )
        card = self._card(serial, self._sign)
        if card is None:
            sentence = f"Lightspeed has no card {mask(serial.last_chars)}."
            return Finding(point, Verdict.WARNING, sentence, "Name a card by its whole number.")
        value = card.value_minor
        if confirmed:
            sentence = f"The card {mask(card.last_chars)} holds {format_money(value, self._currency)}."
            verdict = Verdict.OK if value >= 0 else Verdict.WARNING
            remedy = "" if value >= 0 else "Compare it at the till: `balance_sign` may be the wrong one."
            return Finding(point, verdict, sentence, remedy)
        shown = -value
        if not shown:
            sentence = f"The card {mask(card.last_chars)} is empty, so it shows no sign."
            return Finding(point, Verdict.MISSING, sentence, "Name a card that holds money.")
        sign = Sign.NEGATIVE if shown < 0 else Sign.POSITIVE
        sentence = (
            f"Lightspeed shows the card {mask(card.last_chars)} with {format_money(shown, self._currency)}."
        )
        remedy = (
            f"If the till says that {format_money(abs(shown), self._currency)} are left to spend, set "
            f'balance_sign = "{sign}". If it says that the customer owes it, do not link this account.'
        )
        return Finding(point, Verdict.MISSING, sentence, remedy)

    def _named(self) -> Iterator[Finding]:
        """Whether the account has what the settings name."""
        missing = self._sales.settings.missing()
        if missing:
            sentence = f"No sale can be made: {', '.join(f'`{one}`' for one in missing)} are not set."
            yield Finding("sales", Verdict.MISSING, sentence, "Set them in the side's table.")
        for what, id_key, key in _NAMED:
            wanted = getattr(self._sales.settings, key)
            if wanted is None:
                continue
            found = rows(self._client.get(f"/{what}/{wanted}.json"), what)
            if len(found) != 1 or found[0].get(id_key) != wanted:
                sentence = f"The account has no {what} {wanted}."
                yield Finding(key, Verdict.MISSING, sentence, f"Correct `{key}` in the side's table.")
            elif what == "Register" and str(found[0].get("name", "")).lower() == ECOM:
                sentence = "The register is eCom, which cannot load gift cards."
                yield Finding(key, Verdict.MISSING, sentence, "Name another register in `register_id`.")
            else:
                yield Finding(key, Verdict.OK, f"The account has the {what} of `{key}`.")

    def _claim(self, point: str, claim: str, wanted: Expectations, until: str) -> Finding:
        known = wanted.known.get(point)
        if known is not None and known.verdict is Verdict.WARNING:
            return Finding(point, Verdict.WARNING, f"The probe showed otherwise: {known.sentence}")
        if point in self._on:
            return Finding(point, Verdict.OK, f"On: {claim}.")
        remedy = "`giftsync doctor --probe --card NUMBER` tries it on a test card."
        sentence = f"Off: nobody has shown that {claim}. Until then {until}."
        return Finding(point, Verdict.WARNING, sentence, remedy)

    # The probe.

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        name = f"the card {mask(context.card.last_chars)}"
        if self._sign is Sign.UNCONFIRMED:
            yield not_probed("`balance_sign` is not set.", "`giftsync doctor --card NUMBER` first.")
            return
        shown = self._side.lookup(context.card)
        if not isinstance(shown, Seen):
            yield not_probed(f"Lightspeed shows no such card as {name}.", "Name a card by its whole number.")
            return
        card = CardRef(shown.native_id, context.card)
        try:
            hindrance = put_back_earlier(card, context, self._pause, self._side, self._end)
            if hindrance is not None:
                yield hindrance
                return
            shown, before = self._read(card), self._stamp(card)
        except SideError as error:
            yield not_probed(f"{error}.", "Try again later.")
            return
        unit_minor = 10 ** currency_exponent(shown.currency)
        if shown.status is not CardStatus.ACTIVE or shown.balance_minor < unit_minor:
            yield not_probed(f"{name} is archived or too low.", "Name a card in use with 1.00 on it.")
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
            yield Finding(MARKER_POINT, Verdict.WARNING, f"A sale was not made. {move.reason}.")
            return
        try:
            shown, after = self._read(trial.card), self._stamp(trial.card)
        except SideError as error:
            yield Finding(MARKER_POINT, Verdict.UNKNOWN, f"A sale was made, and then {error}.", "Try again.")
            return
        landings = sum(one.marker == move.marker for one in shown.entries or ())
        evidence: dict[str, str | int | bool | None] = {"marker": move.marker, "landings": landings}
        if landings == 1:
            yield Finding(MARKER_POINT, Verdict.OK, f"Proved: {_MARKER_CLAIM}.", evidence=evidence)
        else:
            remedy = "Try the other `marker_field`."
            yield Finding(MARKER_POINT, Verdict.WARNING, f"Not so: that {_MARKER_CLAIM}.", remedy, evidence)
        if after != before:
            yield Finding(STAMP_POINT, Verdict.OK, f"Proved: {_STAMP_CLAIM}.")
        else:
            yield Finding(STAMP_POINT, Verdict.WARNING, f"Not so: that {_STAMP_CLAIM}.")

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


def _sign_words(sign: Sign) -> str:
    return "with a minus" if sign is Sign.NEGATIVE else "without a minus"
