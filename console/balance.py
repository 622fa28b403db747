"""The page where a customer sees what is left on a card; for anybody, so it tells strangers nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from console.api.access import Buckets
from console.rendering import environment
from console.words import Words
from sync.authority.cards import CardNotAccepted, Cards, Key, TooManyGuesses
from sync.decisions.authority import Denied, why_not_redeemable
from sync.ledger.database.engine import LedgerUnavailable

#: Tries from one address, and from all of them together.
ADDRESS_PER_MINUTE = 20
ALL_PER_MINUTE = 300
BODY_BYTES_MAX = 4096
FIELD_MAX = 64


@dataclass(frozen=True)
class BalancePage:
    cards: Cards
    language: str = "en"
    #: Whether cards without a CVC of giftsync's are shown by their number alone.
    without_cvc: bool = False
    buckets: Buckets = field(default_factory=Buckets)

    def routes(self) -> list[Route]:
        # A QR code holds the card's token in its path. The number is in no address: it is posted.
        return [
            Route("/balance", self._serve, methods=["GET", "POST"]),
            Route("/balance/{token}", self._serve, methods=["GET"]),
        ]

    async def _serve(self, request: Request) -> Response:
        words = self._words(request)
        if request.method != "POST":
            return self._page(words, token=request.path_params.get("token", "")[:FIELD_MAX])
        try:
            form = await _form(request)
        except (ValueError, ClientDisconnect):
            return self._page(words, 400, error=words.text("The form could not be read."))
        client = "" if request.client is None else request.client.host
        return await run_in_threadpool(self._answer, words, form, client)

    def _answer(self, words: Words, form: dict[str, str], client: str) -> Response:
        token, number, cvc = (form.get(name, "").strip() for name in ("token", "number", "cvc"))
        if not self._may_try(client):
            error = words.text("Too many tries. Wait a quarter of an hour.")
            return self._page(words, 429, token=token, error=error)
        try:
            key = Key(number or None, token or None, cvc or None)
            card_id = self.cards.find(key, f"balance {client}", needs_cvc=not self.without_cvc)
            card = self.cards.load(card_id)
        except CardNotAccepted:
            # One answer for an unknown number, a wrong CVC and a card that is not shown here.
            error = words.text("No card has this number and CVC. Look at both again.")
            return self._page(words, 404, token=token, error=error)
        except TooManyGuesses:
            error = words.text("Too many tries. Wait a quarter of an hour.")
            return self._page(words, 429, token=token, error=error)
        except Denied:
            return self._page(words, 503, token=token, error=words.text("Ask in the store about this card."))
        except (LedgerUnavailable, SQLAlchemyError):
            return self._page(words, 503, token=token, error=words.text("Try again in a minute."))
        usable = why_not_redeemable(card, self.cards.hands.link().today) is None
        last = next((p.last_chars for p in card.presences if p.last_chars), "")
        return self._page(words, card=card, usable=usable or not card.balance_minor, last=last)

    def _may_try(self, client: str) -> bool:
        mine, _ = self.buckets.take(f"balance {client}", ADDRESS_PER_MINUTE)
        if mine < 0:
            return False
        return self.buckets.take("balance", ALL_PER_MINUTE)[0] >= 0

    def _words(self, request: Request) -> Words:
        wanted = request.headers.get("accept-language", "")[:2].lower()
        language = "nb" if wanted in ("nb", "nn", "no") else "en" if wanted == "en" else self.language
        return Words.of(language, self.cards.hands.link().timezone)

    def _page(self, words: Words, status: int = 200, **context: object) -> Response:
        there = {"token": "", "error": "", "card": None, "usable": True, "last": "", **context}
        page = environment().get_template("balance.html").render(w=words, t=words.text, **there)
        return HTMLResponse(page, status)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a posted form. Raises ValueError for one that is none, or too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise ValueError("too large")
    fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    return {name: values[0][:FIELD_MAX] for name, values in fields.items()}
