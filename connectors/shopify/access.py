"""How giftsync is let into the shop of a configured side: by a given token, or by one that is kept sealed."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.api.build import BuildContext
from connectors.api.tokens import TokenShelf
from connectors.kit.http import HttpClient
from connectors.kit.renewal import PermanentToken, TokenSource
from connectors.shopify.address import checked_shop, checked_url
from connectors.shopify.auth import client_credentials, installation
from connectors.shopify.oauth import TokenDesk
from connectors.shopify.section import ShopifySection


def token_shelf(section: ShopifySection, context: BuildContext) -> TokenShelf:
    """Where the token of this side is kept. Another shop, app or `auth` has a place of its own."""
    return context.shelf(section.auth, f"{section.shop} {section.client_id}")


def token_desk(section: ShopifySection) -> TokenDesk:
    """Where Shopify gives tokens. Raises ValueError for an address that cannot be."""
    secret = section.client_secret.get_secret_value() if section.client_secret is not None else ""
    url = checked_url(checked_shop(section.shop), section.url)
    return TokenDesk(HttpClient(url, {}), section.client_id or "", secret, lambda: datetime.now(UTC))


def token_source(section: ShopifySection, context: BuildContext) -> TokenSource:
    """What gives the connector its token. Nothing is asked or opened yet. Raises ValueError."""
    if section.auth == "token":
        return PermanentToken(section.token.get_secret_value() if section.token is not None else "")
    desk, shelf = token_desk(section), token_shelf(section, context)
    if section.auth == "client_credentials":
        return client_credentials(desk, shelf)
    return installation(desk, shelf, section.shop)


def webhook_secrets(section: ShopifySection) -> tuple[str, ...]:
    """The app's client secrets, the newest first."""
    given = (section.client_secret, section.old_client_secret)
    return tuple(one.get_secret_value() for one in given if one is not None)
