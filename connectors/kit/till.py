"""A simulated till: a small point of sale on this machine, with gift cards, an HTTP API, and people at the
counter.

It stands in for the systems that have such an API, so that a connector can be written, tested and shown
without one. Its money is exact, it takes an idempotency key with every write, and it tells of every change in
one list.

| call | answers |
| --- | --- |
| `GET /shop` | `{"id", "currency", "timezone"}` |
| `GET /cards/CARD` | the card with its `entries`, or 404; CARD is its id or its number |
| `POST /cards` | sells a card: `number`, `amount`, perhaps `expires`, `note`; 409 for a number in use |
| `POST /cards/CARD/entries` | moves the signed `amount`; 409 with `reason` when the card cannot |
| `PUT /cards/CARD` | sets `status` or `expires` |
| `GET /keys/KEY` | what was done under an idempotency key, or 404 |
| `GET /changes?after=N` | `{"cards": [{"id", "number"}], "next"}`: what was sold or changed since |

Amounts are decimal strings. Every call needs `Authorization: Bearer TOKEN`, every write an `Idempotency-Key`.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from connectors.api.trial import TillCard

PAGE: Final = 100
STATUSES: Final = ("active", "blocked", "closed")


class TillRefused(Exception):
    """The till says no; the message is its reason."""


@dataclass
class TillEntry:
    """One line of a card's book. `key` is None for what people did."""

    id: str
    minor: int
    at: datetime
    key: str | None


@dataclass
class TillAccount:
    """One card."""

    id: str
    number: str = field(repr=False)
    minor: int
    status: str = "active"
    expires: str | None = None
    note: str = ""
    #: The idempotency key of the call that sold it.
    key: str | None = None
    entries: list[TillEntry] = field(default_factory=list)


class SimulatedTill:
    """The point of sale itself. Thread-safe. `sell`, `spend` and `load` are what people do at the counter."""

    def __init__(
        self,
        token: str = "till-token",
        *,
        shop: str = "till-1",
        currency: str = "NOK",
        timezone: str = "Europe/Oslo",
        prefix: str = "77",
    ) -> None:
        self.token, self.shop, self.currency, self.timezone = token, shop, currency, timezone
        #: By number.
        self.accounts: dict[str, TillAccount] = {}
        self._by_id: dict[str, TillAccount] = {}
        self.url = ""
        self._prefix = prefix
        self._numbers, self._entry_ids = itertools.count(1), itertools.count(1)
        self._changes: list[str] = []
        self._keys: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()

    # --- people at the counter ----------------------------------------------------------------------------

    def new_number(self) -> str:
        """A number that no card has."""
        with self._lock:
            number = next(self._numbers)
            return f"{self._prefix}{number:010d}{number * 7 % 10_000:04d}"

    def sell(self, amount_minor: int) -> str:
        """Sell a card; returns its number."""
        with self._lock:
            number = self.new_number()
            self.issue(number, amount_minor, None)
            return number

    def spend(self, serial: str, amount_minor: int) -> bool:
        """Take a payment; False when the till refuses."""
        return self._by_hand(serial, -amount_minor)

    def load(self, serial: str, amount_minor: int) -> bool:
        """Put money on a card; False when the till refuses."""
        return self._by_hand(serial, amount_minor)

    def cards(self) -> list[TillCard]:
        with self._lock:
            return [
                TillCard(one.id, one.number, one.minor, one.status == "active")
                for one in self.accounts.values()
            ]

    def set_status(self, number: str, status: str) -> None:
        """Staff change a status, perhaps to one that nobody has heard of."""
        with self._lock:
            self.accounts[number].status = status
            self._changes.append(number)

    def _by_hand(self, number: str, minor: int) -> bool:
        with self._lock:
            if number not in self.accounts:
                return False
            try:
                self.move(self.accounts[number], minor, None)
            except TillRefused:
                return False
            return True

    # --- what the API does --------------------------------------------------------------------------------

    def issue(
        self, number: str, minor: int, key: str | None, expires: str | None = None, note: str = ""
    ) -> None:
        """Make a card of that number. Raises TillRefused."""
        if number in self.accounts:
            raise TillRefused("in_use")
        if minor < 0:
            raise TillRefused("amount")
        card = TillAccount(f"card-{len(self.accounts) + 1}", number, minor, "active", expires, note, key)
        self.accounts[number] = self._by_id[card.id] = card
        self._changes.append(number)

    def move(self, card: TillAccount, minor: int, key: str | None) -> TillEntry:
        """Move a signed amount on a card. Raises TillRefused."""
        if card.status != "active":
            raise TillRefused("not_active")
        if card.expires is not None and date.fromisoformat(card.expires) < datetime.now(UTC).date():
            raise TillRefused("expired")
        if card.minor + minor < 0:
            raise TillRefused("insufficient")
        card.minor += minor
        entry = TillEntry(f"{self.shop}-{next(self._entry_ids)}", minor, datetime.now(UTC), key)
        card.entries.append(entry)
        self._changes.append(card.number)
        return entry

    def call(
        self, method: str, path: str, query: dict[str, str], body: dict[str, Any], key: str | None
    ) -> Any:
        """One call of the API: what it answers. Raises TillRefused, and KeyError for what is not there.

        Calls come one at a time. A stand-in for a system with another API overrides this.
        """
        match method, path.strip("/").split("/"):
            case "GET", ["shop"]:
                return {"id": self.shop, "currency": self.currency, "timezone": self.timezone}
            case "GET", ["cards", card]:
                return self._shown(self.card(card))
            case "GET", ["keys", known]:
                return self._keys[known]
            case "GET", ["changes"]:
                after = int(query.get("after") or 0)
                page = self._changes[after : after + PAGE]
                cards = [self.accounts[number] for number in dict.fromkeys(page)]
                return {
                    "cards": [{"id": one.id, "number": one.number} for one in cards],
                    "next": after + len(page),
                }
        if not key:
            raise TillRefused("no_key")
        if key not in self._keys:
            self._keys[key] = self._write(method, path.strip("/").split("/"), body, key)
        return self._keys[key]

    def card(self, which: str) -> TillAccount:
        """The card by its id or number. Raises KeyError."""
        return self._by_id[which] if which in self._by_id else self.accounts[which]

    def _write(self, method: str, parts: list[str], body: dict[str, Any], key: str) -> dict[str, Any]:
        match method, parts:
            case "POST", ["cards"]:
                number = str(body["number"])
                self.issue(number, _minor(body["amount"]), key, body.get("expires"), body.get("note", ""))
                card = self.accounts[number]
                return {"id": card.id, "balance": _text(card.minor)}
            case "POST", ["cards", which, "entries"]:
                card = self.card(which)
                entry = self.move(card, _minor(body["amount"]), key)
                return {"id": card.id, "entry": entry.id, "balance": _text(card.minor)}
            case "PUT", ["cards", which]:
                card = self.card(which)
                if card.status == "closed" and body.get("status") not in (None, "closed"):
                    raise TillRefused("not_active")
                card.status = body.get("status", card.status)
                card.expires = body.get("expires", card.expires)
                self._changes.append(card.number)
                return {"id": card.id, "status": card.status, "expires": card.expires}
        raise KeyError(method)

    def _shown(self, card: TillAccount) -> dict[str, Any]:
        return {
            "id": card.id,
            "number": card.number,
            "balance": _text(card.minor),
            "status": card.status,
            "expires": card.expires,
            "note": card.note,
            "key": card.key,
            "entries": [
                {"id": one.id, "amount": _text(one.minor), "at": one.at.isoformat(), "key": one.key}
                for one in card.entries
            ],
        }

    # --- over HTTP ----------------------------------------------------------------------------------------

    @contextmanager
    def served(self, port: int = 0) -> Iterator[SimulatedTill]:
        """Serve the API on this machine until the block ends; `url` is where."""
        server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(30.0)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        till = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """A path can hold a number, so nothing is logged."""

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Authorization") != f"Bearer {till.token}":
                    return self._answer(HTTPStatus.UNAUTHORIZED, {})
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                try:
                    said = json.loads(body or b"{}", parse_float=str)
                    key = self.headers.get("Idempotency-Key")
                    with till._lock:
                        answer = till.call(self.command, unquote(parts.path), query, said, key)
                except TillRefused as error:
                    return self._answer(HTTPStatus.CONFLICT, {"reason": str(error)})
                except (KeyError, ValueError, ArithmeticError):
                    return self._answer(HTTPStatus.NOT_FOUND, {})
                return self._answer(HTTPStatus.OK, answer)

            def _answer(self, status: HTTPStatus, said: Any) -> None:
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _serve

        return Handler


def _minor(text: object) -> int:
    minor = Decimal(str(text)) * 100
    if minor != int(minor):
        raise TillRefused("amount")
    return int(minor)


def _text(minor: int) -> str:
    return f"{Decimal(minor) / 100:.2f}"
