"""Webhook deliveries of a shop: signed as Standard Webhooks, about one card each."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from connectors.api.card import CardRef
from connectors.api.webhooks import Delivery, InvalidSignature
from connectors.kit.strict_json import NotJson, read_json

SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES_MIN: Final = 16
TOPIC: Final = "card.changed"
#: How old or how far ahead a delivery's time may be: what is sent again has a new one.
SECONDS_MAX: Final = 300.0
_ID_LENGTH_MAX: Final = 200


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for. Raises ValueError, whose message does not hold it."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) < SECRET_BYTES_MIN:
        raise ValueError(f"a webhook secret is `{SECRET_PREFIX}` and the base64 of 16 bytes or more")
    return key


def is_signed(key: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Whether the delivery is whole and fresh and comes from whoever has the key."""
    event, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 0 < len(event) <= _ID_LENGTH_MAX or not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        return False
    if abs(now.timestamp() - int(stamp)) > SECONDS_MAX:
        return False
    mac = hmac.digest(key, f"{event}.{stamp}.".encode() + body, hashlib.sha256)
    expected = b"v1," + base64.b64encode(mac)
    # While a secret is exchanged for another, a delivery has a signature by each.
    given = headers.get("webhook-signature", "").encode()
    return any(hmac.compare_digest(expected, one) for one in given.split(b" ")[:8])


def card_of(body: bytes) -> str | None:
    """The card that a delivery is about; None for another event. Raises InvalidSignature."""
    try:
        said = read_json(body)
    except NotJson:
        raise InvalidSignature("the body is not JSON") from None
    if not isinstance(said, dict) or said.get("type") != TOPIC:
        return None
    data = said.get("data")
    card = data.get("card") if isinstance(data, dict) else None
    return card if isinstance(card, str) and 0 < len(card) <= 100 else None


def read_delivery(key: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> Delivery | None:
    """Prove and read one delivery. Raises InvalidSignature."""
    if not is_signed(key, headers, body, now):
        raise InvalidSignature("the signature is missing, wrong or too old")
    card = card_of(body)
    if card is None:
        return None
    return Delivery(headers["webhook-id"], TOPIC, card, card=CardRef(card))


def unresolved(deliveries: Sequence[Delivery]) -> None:
    """Every delivery names its card, so there is none to ask about."""
    if deliveries:
        raise ValueError("every delivery of this side names its card")
