"""What reading alone can tell about a Flow tenant, in words: what works, what is missing, how to mend it.

Sources: flow.md §1 (tokens, lists), §3 (editions), §5 (discovery), §9 (what is unknown and asked for here).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from connectors.api.capabilities import Capabilities, Identity
from connectors.api.doctor import ExaminationReport, Expectations, Finding, Verdict
from connectors.api.errors import InDoubt, SideClosed, SideError
from connectors.flow.client import FlowClient, Forbidden, Rejected, TokenRefused
from connectors.flow.diagnosis import directions, inferred
from connectors.flow.discovery import Discovery
from connectors.flow.inferred import INFERRED
from connectors.flow.model import loose_text, parse_card, parse_method, parse_receipt
from connectors.flow.receipts import ReceiptFeed
from connectors.flow.settings import FlowSettings
from connectors.kit.examining import error_sentence
from mappings.sentences import say
from mappings.serials import Serial

#: How many receipts are looked through for a card.
RECEIPTS_LOOKED_AT: Final = 10
_REMEDY_NETWORK: Final = say("Check the network, and `url` in the side's table.")


class FlowDoctor:
    """Examines one tenant. Every answer of Flow becomes a finding; nothing of SideError is raised."""

    def __init__(
        self,
        client: FlowClient,
        settings: FlowSettings,
        discovery: Discovery,
        receipts: ReceiptFeed,
        capabilities: Capabilities,
    ) -> None:
        self._client = client
        self._settings = settings
        self._discovery = discovery
        self._receipts = receipts
        self._capabilities = capabilities

    def examine(self, wanted: Expectations) -> ExaminationReport:
        self._discovery.forget()
        findings: list[Finding] = []
        try:
            findings += self._extension()
        except Forbidden as error:
            findings += [_token_ok(), _missing("permission.extensions", error, error.remedy)]
        except TokenRefused as error:
            return ExaminationReport([_missing("token", error, error.remedy)])
        except SideClosed as error:
            return ExaminationReport([_missing("connection", error, error.remedy)])
        except SideError as error:
            return ExaminationReport([_missing("connection", error, _REMEDY_NETWORK)])
        currency: list[str] = []
        findings += self._asked("store", self._store)
        findings += self._asked("currency", lambda: self._currency(wanted, currency))
        findings += self._asked("payment_method", self._method)
        findings += self._asked("payment_method_uid", self._uids)
        findings += self._asked("receipts", self._receipt_search)
        findings += self._asked("card_format", lambda: self._card(wanted))
        findings += self._webhooks()
        findings += [inferred(one, self._settings, wanted) for one in INFERRED]
        findings.append(directions(self._capabilities))
        place = self._settings.identity
        identity = Identity(place, currency[0], self._settings.timezone) if currency else None
        return ExaminationReport(findings, identity)

    def _asked(self, point: str, ask: Callable[[], Iterable[Finding]]) -> list[Finding]:
        """The findings of one question; a question without an answer is a finding, too."""
        try:
            return list(ask())
        except Forbidden as error:
            return [_missing(f"permission.{point}", error, error.remedy)]
        except SideClosed as error:
            return [_missing(point, error, error.remedy)]
        except Rejected as error:
            return [
                Finding(point, Verdict.UNKNOWN, say("Not answered: {error}", error=error_sentence(error)))
            ]
        except SideError as error:
            return [
                Finding(
                    point,
                    Verdict.UNKNOWN,
                    say("Not answered: {error}", error=error_sentence(error)),
                    say("Try again."),
                )
            ]

    def _extension(self) -> Iterable[Finding]:
        code = self._settings.extension_code
        try:
            self._discovery.check_extension()
        except (Forbidden, TokenRefused):
            raise
        except SideClosed as error:
            if code not in str(error):
                raise
            return [_token_ok(), _missing("extension", error, error.remedy)]
        return [
            _token_ok(),
            Finding("extension", Verdict.OK, say("Flow's extension {code} is active.", code=code)),
        ]

    def _store(self) -> Iterable[Finding]:
        """The documentation only hints at this read (flow.md §9), so a refusal of it proves nothing."""
        uid = self._settings.store
        self._discovery.check_store()
        try:
            name = loose_text(self._client.store(), "storeName")
        except Rejected:
            return
        yield Finding("store", Verdict.OK, say("The home store is {uid}.", uid=name or uid))

    def _currency(self, wanted: Expectations, found: list[str]) -> Iterable[Finding]:
        currency = self._discovery.currency()
        found.append(currency)
        yield Finding(
            "currency",
            Verdict.OK,
            say("The store trades in {currency}.", currency=currency),
            evidence={"currency": currency},
        )

    def _method(self) -> Iterable[Finding]:
        candidates = [parse_method(one) for one in self._client.payment_methods()]
        method = self._discovery.method()
        yield Finding(
            "payment_method",
            Verdict.OK,
            say(
                "Gift cards are settled with {method}; the number goes as {number}, the CVC as {cvc}.",
                method=method.settlement_code,
                number=method.number_key,
                cvc=method.cvc_key,
            )
            if method.cvc_key
            else say(
                "Gift cards are settled with {method}; the number goes as {number}.",
                method=method.settlement_code,
                number=method.number_key,
            ),
            evidence={
                "settlement_code": method.settlement_code,
                "number_key": method.number_key,
                "cvc_key": method.cvc_key,
                "payment_methods": len(candidates),
            },
        )
        if method.cvc_required:
            yield Finding(
                "cvc",
                Verdict.WARNING,
                say("Flow wants a card's CVC for every payment; giftsync knows none and can debit no card."),
                say("Ask Flow to make the CVC optional for payments by API."),
            )
        if not (method.allow_sale and method.allow_refund):
            yield Finding(
                "payment_method_use",
                Verdict.WARNING,
                say("The gift-card payment method may settle sales only.")
                if method.allow_sale
                else say("The gift-card payment method may settle returns only.")
                if method.allow_refund
                else say("The gift-card payment method may settle nothing."),
                say("Allow sales and returns for the payment method in Flow Admin."),
            )

    def _uids(self) -> Iterable[Finding]:
        """Needed only for writing, so a missing one is no reason not to run."""
        wanted = [("gift_card_payment_method_uid", self._discovery.gift_card_method_uid)]
        if self._settings.gift_card_product_uids:
            wanted.append(("external_payment_method_uid", self._discovery.external_method_uid))
        for setting, find in wanted:
            try:
                find()
            except SideClosed as error:
                yield Finding(
                    f"payment_method_uid.{setting}", Verdict.WARNING, error_sentence(error), error.remedy
                )
            else:
                yield Finding(
                    f"payment_method_uid.{setting}",
                    Verdict.OK,
                    say("The uid of the payment method for gift cards in the store is known.")
                    if setting == "gift_card_payment_method_uid"
                    else say("The uid of the payment method for external payments in the store is known."),
                )

    def _receipt_search(self) -> Iterable[Finding]:
        page = self._client.search_receipts(None, None, 1)
        yield Finding(
            "receipts",
            Verdict.OK,
            say("Receipts can be searched.")
            if page.total is None
            else say("Receipts can be searched: {total} so far.", total=page.total),
            evidence={"receipts": page.total},
        )
        kept = len(page.items) <= 1
        yield Finding(
            "paging",
            Verdict.OK if kept else Verdict.WARNING,
            say("Lists come in pages, the first of which is page {number}.", number=page.number)
            if kept
            else say("Flow does not keep to the page size that is asked for; lists take longer."),
            evidence={"first_page": page.number},
        )

    def _card(self, wanted: Expectations) -> Iterable[Finding]:
        """Which of the two published shapes a card has (flow.md §1, §3)."""
        serial = wanted.card or self._newest_card()
        if serial is None:
            return [
                Finding(
                    "card_format",
                    Verdict.UNKNOWN,
                    say("No gift card was found among the first receipts to look at."),
                    say("Name one: `giftsync doctor --card NUMBER`."),
                )
            ]
        payload = self._client.card_payload(serial)
        if payload is None or payload == {}:
            return [
                Finding(
                    "card_format", Verdict.UNKNOWN, say("Flow shows no such card."), say("Name another card.")
                )
            ]
        try:
            card = parse_card(payload)
        except InDoubt as error:
            remedy = say("Ask the makers of giftsync; until then such cards are left alone.")
            return [Finding("card_format", Verdict.WARNING, error_sentence(error), remedy)]
        if card.status_text is None:
            edition, shown = (
                "older",
                say(
                    "A card is shown in the older form: it has only an active flag; cards can be neither "
                    "closed nor told apart from closed."
                ),
            )
        else:
            edition, shown = "newer", say("A card is shown in the newer form: it has a status.")
        return [
            Finding(
                "card_format",
                Verdict.OK if card.status_text is not None else Verdict.WARNING,
                shown,
                ""
                if card.status_text is not None
                else say("Ask Flow for the newer edition of the gift-card API."),
                {"edition": edition, "cvc_required": card.cvc_required},
            )
        ]

    def _newest_card(self) -> Serial | None:
        """A card that one of a few receipts concerns; cards cannot be listed (flow.md §3)."""
        for hit in self._client.search_receipts(None, None, RECEIPTS_LOOKED_AT).items[:RECEIPTS_LOOKED_AT]:
            try:
                order = self._client.order(parse_receipt(hit).order_uid)
            except (Rejected, InDoubt):
                continue
            for hint in self._receipts.hints_of(order):
                if hint.card.serial is not None:
                    return hint.card.serial
        return None

    def _webhooks(self) -> Iterable[Finding]:
        if self._settings.webhook_token:
            return [
                Finding(
                    "webhooks", Verdict.OK, say("Webhooks of Flow are believed when they carry the token.")
                )
            ]
        return [
            Finding(
                "webhooks",
                Verdict.OK,
                say(
                    "No webhook token is set: giftsync finds sales by searching receipts, every {seconds} "
                    "seconds.",
                    seconds=round(self._settings.receipts_interval_seconds),
                ),
            )
        ]


def _token_ok() -> Finding:
    return Finding("token", Verdict.OK, say("Flow accepts the integration token."))


def _missing(point: str, error: SideError, remedy: str) -> Finding:
    return Finding(point, Verdict.MISSING, error_sentence(error), remedy)
