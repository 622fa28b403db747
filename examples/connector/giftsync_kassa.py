"""Kassa as a side of giftsync: the simulated till of `connectors.kit.till`, over its HTTP API.

The template for a connector of your own: replace the calls, then the words. Kassa takes an idempotency key
with every write, so giftsync's marker is the key: what is in doubt is simply asked again, and applied at most
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from connectors.api.abilities import Abilities
from connectors.api.build import BuildContext
from connectors.api.capabilities import Capabilities, Identity, Place
from connectors.api.card import CardRef, Entry, Seen
from connectors.api.effect import Applied, Effect, EffectKind, Found, NotFound, Save
from connectors.api.errors import InDoubt, Refusal, Refused
from connectors.api.feed import Feed, Hint, HintPage
from connectors.api.plugin import ConnectorType
from connectors.api.settings import HTTP_HERE, Secret, SideSection, Url, form
from connectors.kit.answers import AnswerReader, Rejected
from connectors.kit.fields import NotBelieved, day_of, minor_of, moment_of, serial_of, text_of
from connectors.kit.http import HttpClient, retried
from connectors.kit.one_client import CardByCardSide
from connectors.kit.till import SimulatedTill
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor
from mappings.serials import Serial

CHANGES: Final = "changes"
STATUSES: Final = {
    "active": CardStatus.ACTIVE,
    "blocked": CardStatus.SUSPENDED,
    "closed": CardStatus.CLOSED,
}
WORDS: Final = {status: word for word, status in STATUSES.items()}
REASONS: Final = {
    "insufficient": Refusal.INSUFFICIENT_FUNDS,
    "in_use": Refusal.TAKEN,
    "not_active": Refusal.NOT_ACTIVE,
    "expired": Refusal.EXPIRED,
}
ANSWERS: Final = AnswerReader(
    "Kassa",
    dict.fromkeys((401, 403), ("Kassa does not accept the token", "Make a new token and set `token`.")),
    reason_field="reason",
)
CAPABILITIES: Final = Capabilities(
    creates=True,
    debits=True,
    credits=True,
    sets_expiry=True,
    sets_status=frozenset(STATUSES.values()),
    notifies=False,
    lists_entries=True,
    hides_serials=False,
    moves_when_suspended=False,
    read_batch_max=1,
    serial_length_min=8,
    serial_length_max=20,
    serial_digits_only=False,
    applies_marker_once=True,
)


class KassaSection(SideSection):
    """A till of Kassa."""

    url: Annotated[Url, form(f'an address such as "https://kassa.example.com"; {HTTP_HERE}')]
    """Where the till's API answers."""

    token: Annotated[Secret, form("the till's token")]
    """The token of an integration, made in Kassa."""

    token_file: Annotated[str | None, form("a path")] = None
    """Instead of `token`: a file that holds it and nothing else."""


class KassaSide(CardByCardSide):
    """One till. Thread-safe: all state is in the till."""

    _client: HttpClient
    _system = "Kassa"
    _misread = "Kassa shows the card in a form that is not known"

    def __init__(self, url: str, token: str, context: BuildContext) -> None:
        self.name = context.name
        self.capabilities = CAPABILITIES
        self.feeds: Sequence[Feed] = (Feed(CHANGES, 2.0),)
        self.abilities = Abilities(
            place=context.place(Place("Kassa", "Kassa's back office", where=self.name, at="at Kassa"))
        )
        self._client = HttpClient(url, {"Authorization": f"Bearer {token}"}, clock=context.clock)
        self._clock, self._pause = context.clock, context.pause
        self._currency = context.currency or ""

    def __repr__(self) -> str:
        return f"KassaSide({self.name!r})"

    def identify(self) -> Identity:
        shop = self._get("/shop") or {}
        try:
            self._currency = text_of(shop, "currency")
            return Identity(f"kassa:{text_of(shop, 'id')}", self._currency, text_of(shop, "timezone"))
        except NotBelieved as error:
            raise InDoubt(f"Kassa does not say who it is: {error}") from None

    def apply(self, effect: Effect, save: Save) -> Applied:
        method, path, body = self._request(effect)
        try:
            answer = self._call(method, path, body, effect.marker)
        except Rejected as error:
            raise Refused("Kassa says no", REASONS.get(error.reason, Refusal.OTHER)) from None
        if answer is None:
            raise Refused("Kassa has no such card", Refusal.NOT_FOUND)
        return Applied(str(answer["id"]), reference=answer.get("entry"))

    def find(self, effect: Effect) -> Found | NotFound:
        done = self._get(f"/keys/{effect.marker}")
        return NotFound() if done is None else Found(1, str(done["id"]), done.get("entry"))

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        if feed != CHANGES:
            raise ValueError(f"Kassa has no feed {feed!r}")
        after = cursor or "0"
        while True:
            page = self._get(f"/changes?after={after}") or {}
            if not page.get("cards"):
                return
            after = str(page["next"])
            yield HintPage([_hint(card) for card in page["cards"]], after)

    def _request(self, effect: Effect) -> tuple[str, str, dict[str, Any]]:
        card = _which(effect.card)
        amount = decimal_from_minor(effect.amount_minor, effect.currency)
        expires = effect.expires_on.isoformat() if effect.expires_on else None
        match effect.kind:
            case EffectKind.CREATE:
                number = effect.card.serial.reveal() if effect.card.serial else ""
                made = {"number": number, "amount": amount, "expires": expires, "note": effect.note}
                return "POST", "/cards", made
            case EffectKind.CREDIT:
                return "POST", f"/cards/{card}/entries", {"amount": amount}
            case EffectKind.DEBIT:
                return "POST", f"/cards/{card}/entries", {"amount": f"-{amount}"}
            case EffectKind.SET_STATUS:
                return "PUT", f"/cards/{card}", {"status": WORDS[effect.status or CardStatus.ACTIVE]}
            case EffectKind.SET_EXPIRY:
                return "PUT", f"/cards/{card}", {"expires": expires}
        raise self._cannot()

    def _get(self, path: str) -> dict[str, Any] | None:
        return retried(lambda: self._call("GET", path, None, None), self._pause)

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, key: str | None
    ) -> dict[str, Any] | None:
        """One request, sent once; None for 404. Every answer is one of the errors, or is believed."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._client.request(method, path, json=body, headers=headers)
        return ANSWERS.read(self._client, answer, rejects=method != "GET")

    def _seen(self, card: CardRef, at: datetime, *, entries: bool, urgent: bool) -> Seen | None:
        said = self._get(f"/cards/{_which(card)}")
        if said is None:
            return None
        currency, serial = self._currency or self.identify().currency, serial_of(said, "number")
        if not isinstance(said.get("entries"), list):
            raise NotBelieved("it lists no entries")
        book = [
            Entry(text_of(one, "id"), minor_of(one, "amount", currency), moment_of(one, "at"), one.get("key"))
            for one in said["entries"]
        ]
        return Seen(
            native_id=text_of(said, "id"),
            balance_minor=minor_of(said, "balance", currency),
            currency=currency,
            status=STATUSES.get(text_of(said, "status")),
            status_text=text_of(said, "status"),
            expires_on=day_of(said, "expires"),
            last_chars=serial.last_chars,
            at=at,
            serial=serial,
            note=str(said.get("note") or ""),
            created_by=said.get("key"),
            entries=tuple(book) if entries else None,
        )


def _which(card: CardRef) -> str:
    """What the till is asked by: its own id, or else the number."""
    return card.native_id or (card.serial.reveal() if card.serial is not None else "")


def _hint(card: Mapping[str, str]) -> Hint:
    serial = Serial(card["number"])
    return Hint(CardRef(card["id"], serial), CHANGES, serial.last_chars)


def build(section: KassaSection, context: BuildContext) -> KassaSide:
    return KassaSide(section.url, section.token.get_secret_value(), context)


class KassaTrial:
    """A till on this machine, for `giftsync demo --sides 3`."""

    def __init__(self, currency: str) -> None:
        self.till = SimulatedTill(currency=currency)
        self._served = self.till.served()
        self._served.__enter__()
        self.settings: Mapping[str, object] = {
            "connector": "kassa",
            "url": self.till.url,
            "token": self.till.token,
        }

    def close(self) -> None:
        self._served.__exit__(None, None, None)


CONNECTOR: Final = ConnectorType(
    name="kassa", title="Kassa", section=KassaSection, build=build, trial=KassaTrial
)
