"""Installing the app in a shop: the address to open, and the proof that the answer is Shopify's.

Of ShopifyAPI, only the pure `Session.create_permission_url` and `validate_hmac` are used (shopify.md §9). A
subclass holds the app's id and secret, because `Session.setup` would set them for the whole process.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from shopify import Session

from connectors.shopify.address import checked_shop, checked_url
from connectors.shopify.scopes import SCOPES

#: How old, and by how much in the future, Shopify's answer may be.
AGE_MAX: Final = timedelta(minutes=10)
_ANY_VERSION: Final = "2026-10"


class NotShopify(Exception):
    """An answer to an installation that cannot be shown to be Shopify's; the message says why."""


@dataclass(frozen=True)
class Installation:
    """One attempt to install. `state` ties Shopify's answer to it."""

    shop: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_url: str
    base_url: str | None = None
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def permission_url(self, scopes: Iterable[str] = SCOPES) -> str:
        """The address that the merchant opens and says yes at."""
        shop = checked_shop(self.shop)
        session = self._session(shop, _ANY_VERSION)
        url = str(session.create_permission_url(list(scopes), self.redirect_url, self.state))
        # The library knows only https and the shop's own name; a sandbox answers elsewhere.
        return checked_url(shop, self.base_url).rstrip("/") + url.removeprefix(f"https://{shop}")

    def code_of(self, query: Sequence[tuple[str, str]], now: datetime) -> str:
        """The code in Shopify's answer. Raises NotShopify unless state, hmac, shop and time are right."""
        params = dict(query)
        if len(params) != len(query):
            raise NotShopify("a parameter came twice")
        if not hmac.compare_digest(params.get("state", "").encode(), self.state.encode()):
            raise NotShopify("it does not belong to this installation; open the address that was printed")
        if not self._session.validate_hmac(params):
            raise NotShopify("its signature is wrong; compare client_secret with the app's settings")
        if params.get("shop", "").lower() != self.shop:
            raise NotShopify("it is of another shop; open the address in the shop that is configured")
        if not _is_recent(params, now):
            raise NotShopify("it is too old, or this machine's clock is wrong")
        if not params.get("code"):
            raise NotShopify("it holds no code")
        return params["code"]

    @property
    def _session(self) -> type[Session]:
        return type("_App", (Session,), {"api_key": self.client_id, "secret": self.client_secret})


def _is_recent(params: Mapping[str, str], now: datetime) -> bool:
    """The library compares with the machine's clock only, and takes any time in the future."""
    text = params.get("timestamp", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        return False
    return abs(now - datetime.fromtimestamp(int(text), UTC)) <= AGE_MAX
