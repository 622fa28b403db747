"""Webhook deliveries of Flow: ids only, no signature, proved by a bearer token or a password (flow.md §6)."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.api.webhooks import Delivery, InvalidSignature
from connectors.kit.strict_json import NotJson, read_json

#: The actions that tell of money; there is none for gift cards.
ORDER_ACTIONS: Final = frozenset({"ORDER_SETTLED", "ORDER_RECEIPT_SETTLED"})

_UID: Final = re.compile(r"[A-Za-z0-9-_]{1,100}")


def is_authorized(token: str, authorization: str) -> bool:
    """Whether the header carries the token as bearer, or as the password of basic authentication."""
    if not token:
        return False
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            credentials = base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        except ValueError:
            credentials = ""
    elif scheme.lower() != "bearer":
        credentials = ""
    return hmac.compare_digest(token.encode(), credentials.strip().encode())


def read_delivery(
    tenant: str, token: str, headers: Mapping[str, str], body: bytes, received: str
) -> Delivery | None:
    """Prove and read one delivery; None for an action that means nothing to giftsync.

    Flow gives a delivery no id, and an order may be settled more than once, so the key is the action, the
    order and `received`, the minute: a retry in the same minute is a duplicate, a later one counts again.
    Raises InvalidSignature.
    """
    if not is_authorized(token, headers.get("authorization", "")):
        raise InvalidSignature("the authorization is missing or wrong")
    payload = _object(body)
    if _uid(payload.get("tenant")) != tenant:
        raise InvalidSignature("the delivery is of another tenant")
    action, order = payload.get("action"), _uid(payload.get("order"))
    if action not in ORDER_ACTIONS or order is None:
        return None
    return Delivery(f"{action}:{order}:{received}", str(action), order)


def _uid(part: object) -> str | None:
    """The `Uid` of a part of the payload; a capital U, as documented."""
    uid = part.get("Uid") if isinstance(part, dict) else None
    return uid if isinstance(uid, str) and _UID.fullmatch(uid) else None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = read_json(body)
    except NotJson:
        raise InvalidSignature("the body is not JSON") from None
    return payload if isinstance(payload, dict) else {}
