"""Shopify's access tokens, obtained by client credentials, or by an installation (shopify.md §2)."""

from __future__ import annotations

from connectors.api.errors import InDoubt, SideClosed
from connectors.api.tokens import AccessToken, TokenShelf
from connectors.kit.renewal import RenewedToken
from connectors.shopify.oauth import REMEDY_INSTALL, TokenDesk


def client_credentials(desk: TokenDesk, shelf: TokenShelf) -> RenewedToken:
    """For shops of the app's own organisation. There is no refresh token: it is asked again."""
    return RenewedToken(
        "client_credentials", shelf, lambda _: desk.with_client_credentials(), desk.clock, desk.http.close
    )


def installation(desk: TokenDesk, shelf: TokenShelf, shop: str) -> RenewedToken:
    """For other merchants' shops, after `giftsync shopify install`."""

    def renew(old: AccessToken | None) -> AccessToken:
        if old is None:
            raise SideClosed(f"the app is not installed in {shop} yet", "Run `giftsync shopify install`.")
        if old.refresh is None:
            raise SideClosed("the access token has expired and cannot be refreshed", REMEDY_INSTALL)
        new = desk.refreshed(old.refresh)
        if new.expires_at is not None and new.refresh is None:
            raise InDoubt("Shopify's answer holds no refresh token")
        return new

    return RenewedToken("install", shelf, renew, desk.clock, desk.http.close)
