"""giftsync's HTTP contract, version 1, over the cards of a small shop. Standard library only.

    python server.py shop.db --key-file shop.key --port 8700

With --webhook-url and --webhook-secret-file it tells giftsync of each change at once.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import re
import sys
import threading
import urllib.error
import urllib.request
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cards import CURRENCY, DECIMALS, STATUSES, ZONE, Cards, Refused
from shop import Shop

BODY_BYTES_MAX = 65_536
AMOUNT = re.compile(rf"-?[0-9]{{1,13}}\.[0-9]{{{DECIMALS}}}")
KEY = re.compile(r"[!-~]{1,100}")
FEATURES = ["create", "credit", "debit", "suspend", "close", "expiry"]
WEBHOOK_SECONDS = 0.3
WEBHOOK_ANSWER_SECONDS = 10.0
WEBHOOK_WAIT_MAX_SECONDS = 60.0


class Api:
    """The contract: one request in, one answer out."""

    def __init__(self, cards: Cards, shop_id: str, features: list[str]) -> None:
        self._cards, self._shop_id, self._features = cards, shop_id, features

    def answer(
        self, method: str, parts: list[str], query: dict[str, str], body: Any, key: str
    ) -> tuple[int, Any]:
        """Status and body. Raises Refused."""
        match method, parts:
            case "GET", ["shop"]:
                return 200, self._shop()
            case "GET", ["cards"]:
                return 200, self._cards.page(*_place(query))
            case "GET", ["changes"]:
                return 200, self._cards.changes(*_place(query))
            case "GET", ["cards", card]:
                return 200, self._cards.by_id(card)
            case "POST", ["cards", "lookup"]:
                return 200, self._cards.by_number(_text(body, "number"))
            case "POST", ["cards"]:
                number, minor, day = _text(body, "number"), _minor(body), _day(body)
                if minor < 0:
                    raise Refused(400, "invalid_request")
                note = str(body.get("note", ""))
                return 201, self._cards.create(number, minor, day, note, _key(key), ["create", body])
            case "POST", ["cards", card, "movements"]:
                minor = _minor(body)
                if minor == 0:
                    raise Refused(400, "invalid_request")
                return 201, self._cards.move(card, minor, _key(key), ["move", card, body])
            case "PATCH", ["cards", card]:
                return 200, self._cards.change(card, _change(body))
        raise Refused(404, "not_found")

    def _shop(self) -> dict[str, Any]:
        return {
            "contract": "1.0",
            "id": self._shop_id,
            "name": "Example shop",
            "currency": CURRENCY,
            "timezone": ZONE.key,
            "features": self._features,
            "numbers": {"length_min": 8, "length_max": 20, "digits_only": False},
        }


def _place(query: dict[str, str]) -> tuple[int, int]:
    after, limit = query.get("after", "0"), query.get("limit", "100")
    if not all(one.isascii() and one.isdigit() and len(one) < 16 for one in (after, limit)):
        raise Refused(400, "invalid_request")
    if not 1 <= int(limit) <= 500:
        raise Refused(400, "invalid_request")
    return int(after), int(limit)


def _text(body: Any, name: str) -> str:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value:
        raise Refused(400, "invalid_request")
    return value


def _minor(body: Any) -> int:
    """The amount in minor units, read as text: no float touches it."""
    amount = _text(body, "amount")
    if not AMOUNT.fullmatch(amount):
        raise Refused(400, "invalid_request")
    if _text(body, "currency") != CURRENCY:
        raise Refused(409, "currency_mismatch")
    return int(amount.replace(".", ""))


def _day(body: dict[str, Any]) -> str | None:
    if "expires_on" not in body:
        raise Refused(400, "invalid_request")
    if body["expires_on"] is None:
        return None
    try:
        return date.fromisoformat(_text(body, "expires_on")).isoformat()
    except ValueError:
        raise Refused(400, "invalid_request") from None


def _change(body: Any) -> dict[str, str | None]:
    if not isinstance(body, dict) or not body or set(body) - {"status", "expires_on"}:
        raise Refused(400, "invalid_request")
    if "status" in body and body["status"] not in STATUSES:
        raise Refused(400, "invalid_request")
    return {**body, **({"expires_on": _day(body)} if "expires_on" in body else {})}


def _key(key: str) -> str:
    if not KEY.fullmatch(key):
        raise Refused(400, "invalid_request")
    return key


def make_handler(api: Api, secret: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20.0

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged here: a log must hold neither a key nor a number."""

        def _serve(self) -> None:
            given = self.headers.get("Authorization", "").encode()
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or int(length[:12]) > BODY_BYTES_MAX:
                self.close_connection = True
                return self._problem(Refused(400, "invalid_request"))
            raw = self.rfile.read(int(length))
            if not hmac.compare_digest(given, f"Bearer {secret}".encode()):
                return self._problem(Refused(401, "unauthorized"))
            parts = urlsplit(self.path)
            path = [unquote(one) for one in parts.path.strip("/").split("/")]
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            try:
                body = json.loads(raw) if raw else {}
                status, said = api.answer(
                    self.command, path, query, body, self.headers.get("Idempotency-Key", "")
                )
            except Refused as error:
                return self._problem(error)
            except ValueError:
                return self._problem(Refused(400, "invalid_request"))
            except Exception as error:  # noqa: BLE001 whether anything happened is open: 500 says just that
                print(f"a request failed: {type(error).__name__}", file=sys.stderr)
                return self._problem(Refused(500, "unavailable"))
            return self._send(status, "application/json", said)

        def _problem(self, error: Refused) -> None:
            said = {"title": error.code.replace("_", " "), "status": error.status, "code": error.code}
            if error.card is not None:
                said["card"] = f"card-{error.card}"
            self._send(error.status, "application/problem+json", said)

        def _send(self, status: int, kind: str, said: Any) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    return Handler


class Webhooks:
    """Tells of each change after the last one that was taken, and again until it is taken."""

    def __init__(self, cards: Cards, url: str, secret: str, stopping: threading.Event) -> None:
        self._cards, self._url, self._stopping = cards, url, stopping
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        with cards.writing() as db:
            db.execute("CREATE TABLE IF NOT EXISTS told (after INTEGER NOT NULL)")
            db.execute("INSERT INTO told SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM told)")

    def run(self) -> None:
        wait = WEBHOOK_SECONDS
        while not self._stopping.wait(wait):
            taken = self._step()
            wait = WEBHOOK_SECONDS if taken else min(wait * 2, WEBHOOK_WAIT_MAX_SECONDS)

    def _step(self) -> bool:
        """Tell of what is new; False when the receiver did not take it."""
        with self._cards.reading() as db:
            after = db.execute("SELECT after FROM told").fetchone()["after"]
            rows = db.execute("SELECT * FROM changes WHERE id > ? ORDER BY id LIMIT 100", [after]).fetchall()
        for row in rows:
            card = f"card-{row['card']}"
            said = {"type": "card.changed", "timestamp": row["at"], "data": {"card": card}}
            if not self._send(f"change-{row['id']}", json.dumps(said).encode()):
                return False
            with self._cards.writing() as db:
                db.execute("UPDATE told SET after = ?", [row["id"]])
        return True

    def _send(self, event: str, body: bytes) -> bool:
        stamp = str(int(datetime.now(UTC).timestamp()))
        mac = hmac.new(self._key, f"{event}.{stamp}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        }
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=WEBHOOK_ANSWER_SECONDS) as answer:
                return bool(200 <= answer.status < 300)
        except (urllib.error.URLError, OSError):
            return False


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve the gift cards of a shop to giftsync.")
    parser.add_argument("database", type=Path)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--webhook-url")
    parser.add_argument("--webhook-secret-file", type=Path)
    given = parser.parse_args()
    cards = Cards(given.database)
    Shop(cards).prepare()
    stopping = threading.Event()
    features = list(FEATURES)
    if given.webhook_url and given.webhook_secret_file:
        features.append("webhooks")
        webhooks = Webhooks(cards, given.webhook_url, given.webhook_secret_file.read_text().strip(), stopping)
        threading.Thread(target=webhooks.run, daemon=True).start()
    handler = make_handler(Api(cards, "example-shop", features), given.key_file.read_text().strip())
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        stopping.set()
    return 0


if __name__ == "__main__":
    sys.exit(main())
