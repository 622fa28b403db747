"""What reading tells about a shop by the contract, and a probe of its idempotency keys on a test card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext, Verdict
from connectors.api.errors import SideError
from connectors.api.side import Side
from connectors.http_side.model import FEATURES, Shop
from connectors.kit.examining import error_finding, no_access
from connectors.kit.repetition import RepetitionProbe
from mappings.sentences import say
from mappings.serials import mask

POINT: Final = "key_applies_once"
_CLAIM: Final = say("a request that comes again under the same Idempotency-Key moves no money again")


class ExaminedShop(Side, Protocol):
    """The side as its doctor needs it."""

    #: What the settings say that the shop can do.
    features: frozenset[str]

    def shop(self) -> Shop: ...


class ShopDoctor:
    """Examines one shop."""

    def __init__(self, side: ExaminedShop, pause: Callable[[float], None]) -> None:
        self._side = side
        self._repetition = RepetitionProbe(side, POINT, _CLAIM, "The shop", pause)

    def examine(self, wanted: Expectations) -> ExaminationReport:
        try:
            identity, shop = self._side.identify(), self._side.shop()
        except SideError as error:
            return no_access(
                error,
                say("Check the network and `url`; `giftsync contract check URL` says what the shop answers."),
            )
        answers = say("The shop answers by version {version} of the contract.", version=shop.contract)
        findings = [Finding("access", Verdict.OK, answers)]
        if wanted.currency not in (None, identity.currency):
            sentence = say(
                "The shop's cards are in {currency}, and the link is in {wanted}.",
                currency=identity.currency,
                wanted=wanted.currency,
            )
            remedy = say("Join the shop to a link in its currency.")
            findings.append(Finding("currency", Verdict.MISSING, sentence, remedy))
        if wanted.timezone != identity.timezone:
            sentence = say(
                "The shop is in {zone}, and the link in {wanted}. A card's last day ends at another moment "
                "here.",
                zone=identity.timezone,
                wanted=wanted.timezone,
            )
            findings.append(Finding("timezone", Verdict.WARNING, sentence))
        findings += [self._features(shop), self._numbers(shop), self._webhooks(shop, wanted)]
        if wanted.card is not None:
            findings.append(self._card(CardRef(serial=wanted.card), wanted.card.last_chars))
        findings.append(self._repetition.standing(wanted))
        return ExaminationReport(findings, identity)

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        return self._repetition.run(context)

    def _features(self, shop: Shop) -> Finding:
        wanted = self._side.features - {"webhooks"}
        lacking, unused = sorted(wanted - shop.features), sorted(shop.features & set(FEATURES) - wanted)
        unused = [one for one in unused if one != "webhooks"]
        if lacking:
            return Finding(
                "features",
                Verdict.MISSING,
                say(
                    "The settings count on {features}, which the shop does not have.",
                    features=", ".join(lacking),
                ),
                say("Set `features` to what the shop has, or have its developers add it."),
            )
        if unused:
            return Finding(
                "features",
                Verdict.WARNING,
                say(
                    "The shop also has {features}, which the settings leave out.",
                    features=", ".join(unused),
                ),
                say("Add it to `features` if giftsync shall use it."),
            )
        has = say("The shop has {features}.", features=", ".join(sorted(wanted)))
        return Finding("features", Verdict.OK, has if wanted else say("The shop has reading only."))

    def _numbers(self, shop: Shop) -> Finding:
        can = self._side.capabilities
        mine = (can.serial_length_min, can.serial_length_max, can.serial_digits_only)
        theirs = (shop.length_min, shop.length_max, shop.digits_only)
        words = (
            say("{least} to {most} digits", least=theirs[0], most=theirs[1])
            if theirs[2]
            else say("{least} to {most} letters and digits", least=theirs[0], most=theirs[1])
        )
        if mine == theirs:
            return Finding("numbers", Verdict.OK, say("A card's number has {what}.", what=words))
        return Finding(
            "numbers",
            Verdict.WARNING,
            say("A card's number has {what} in the shop, and the settings say otherwise.", what=words),
            say("Set `number_length_min`, `number_length_max` and `number_digits_only`."),
        )

    def _webhooks(self, shop: Shop, wanted: Expectations) -> Finding:
        listens = self._side.abilities.listener is not None
        if not listens:
            sentence = say("No webhooks are taken: changes are seen when they are read next.")
            give = say("Set `webhook_secret`, and give it to the shop.")
            return Finding("webhooks", Verdict.OK, sentence, give if "webhooks" in shop.features else "")
        if "webhooks" not in shop.features:
            return Finding(
                "webhooks",
                Verdict.WARNING,
                say("There is a `webhook_secret`, and the shop sends no webhooks."),
                say("Have its developers send them, or leave the secret out."),
            )
        if wanted.webhook_url is None:
            return Finding(
                "webhooks",
                Verdict.WARNING,
                say("giftsync has no public address, so the shop cannot send webhooks."),
                say("Set `public_url` in the table `[console]`."),
            )
        sends = say("The shop is to send webhooks to {address}.", address=wanted.webhook_url)
        return Finding("webhooks", Verdict.OK, sends)

    def _card(self, ref: CardRef, last_chars: str) -> Finding:
        try:
            (shown,) = self._side.observe([ref], entries=True)
        except SideError as error:
            return error_finding("card", Verdict.UNKNOWN, error)
        name = mask(last_chars)
        if isinstance(shown, Seen):
            return Finding(
                "card", Verdict.OK, say("The card {card} is read, and its movements add up.", card=name)
            )
        reason = getattr(shown, "reason", say("the shop has no such card"))
        wrong = say("The card {card}: {reason}.", card=name, reason=reason)
        return Finding("card", Verdict.WARNING, wrong, say("Try another card."))
