"""What reading tells about an X-Series retailer, and a probe of its client ids on a test card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext, Verdict
from connectors.api.errors import SideError
from connectors.api.side import Side
from connectors.kit.examining import error_finding, no_access, other_currency
from connectors.kit.repetition import RepetitionProbe
from connectors.lightspeed_x.client import RetailerClient
from mappings.sentences import say
from mappings.serials import mask

POINT: Final = "client_id_applies_once"
_CLAIM: Final = say("a request that comes again under the same client id moves no money again")


class RetailerDoctor:
    """Examines one retailer."""

    def __init__(self, side: Side, client: RetailerClient, pause: Callable[[float], None]) -> None:
        self._side = side
        self._client = client
        self._repetition = RepetitionProbe(side, POINT, _CLAIM, "Lightspeed", pause)

    def examine(self, wanted: Expectations) -> ExaminationReport:
        try:
            identity = self._side.identify()
        except SideError as error:
            return no_access(error, say("Check the network, and `prefix` and `url` in the side's table."))
        findings = [Finding("access", Verdict.OK, say("Lightspeed lists the cards with this token."))]
        findings.append(self._limit())
        remedy = say("Compare both with the retailer's settings.")
        findings += other_currency(identity.currency, wanted, remedy)
        if wanted.card is not None:
            findings.append(self._card(CardRef(serial=wanted.card), wanted.card.last_chars))
        findings.append(self._repetition.standing(wanted))
        return ExaminationReport(findings, identity)

    def _limit(self) -> Finding:
        told = self._client.limit
        if told is None:
            return Finding("limit", Verdict.UNKNOWN, say("Lightspeed's answers tell no limit of requests."))
        sentence = say("{left} of {limit} requests in five minutes are left.", left=told[0], limit=told[1])
        return Finding("limit", Verdict.OK, sentence, evidence={"left": told[0], "limit": told[1]})

    def _card(self, ref: CardRef, last_chars: str) -> Finding:
        try:
            (shown,) = self._side.observe([ref], entries=True)
        except SideError as error:
            return error_finding("card", Verdict.UNKNOWN, error)
        if isinstance(shown, Seen):
            added = say("The card {card} is read, and its transactions add up.", card=mask(last_chars))
            return Finding("card", Verdict.OK, added)
        reason = getattr(shown, "reason", say("Lightspeed has no such card"))
        wrong = say("The card {card}: {reason}.", card=mask(last_chars), reason=reason)
        return Finding("card", Verdict.WARNING, wrong, say("Try another card."))

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        return self._repetition.run(context)
