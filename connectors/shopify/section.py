"""The table of a Shopify shop in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from connectors.api.settings import (
    HTTP_HERE,
    Bool,
    Secret,
    SideSection,
    Text,
    Url,
    check_not_empty,
    check_there,
    form,
)


class ShopifySection(SideSection):
    """The shop, and the app's access to it."""

    shop: Annotated[
        str,
        AfterValidator(check_not_empty),
        Field(pattern=r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$"),
        form('the shop\'s permanent name, such as "example.myshopify.com"'),
    ]
    """The shop by its permanent name. Shopify Admin shows it under Settings, Domains."""

    auth: Literal["token", "client_credentials", "install"] = "token"
    """How the app is let in. `token`: by a permanent Admin API access token. `client_credentials`: by the id
    and secret of an app in Shopify's Dev Dashboard, for shops of the same organisation. `install`: by an
    installation with `giftsync shopify install`, for other merchants' shops."""

    token: Annotated[Secret | None, form("the Admin API access token")] = None
    """For `auth = "token"`: the app's Admin API access token. It needs the scopes write_gift_cards,
    write_gift_card_transactions and read_orders."""

    token_file: Annotated[str | None, form("a path")] = None
    """Instead of `token`: a file that holds the token and nothing else. A relative path is taken from the
    folder of this file."""

    client_id: Annotated[Text | None, form("the app's client id")] = None
    """For the other two ways: the app's client id, as Shopify's Dev Dashboard shows it."""

    client_secret: Annotated[Secret | None, form("the app's client secret")] = None
    """The app's client secret, which Shopify also calls API secret key. It gets access tokens, and proves
    that a webhook is Shopify's; without it no webhook is believed."""

    client_secret_file: Annotated[str | None, form("a path")] = None
    """Instead of `client_secret`: a file that holds it and nothing else."""

    old_client_secret: Annotated[Secret | None, form("the app's client secret before")] = None
    """While a new client secret is brought in: the one before, with which Shopify goes on signing webhooks
    for up to an hour."""

    old_client_secret_file: Annotated[str | None, form("a path")] = None
    """Instead of `old_client_secret`: a file that holds it and nothing else."""

    url: Annotated[
        Url | None,
        form(f'an address such as "https://example.myshopify.com"; {HTTP_HERE}'),
    ] = None
    """Where the Admin API answers. Left out, https:// and the shop; only the sandbox needs another."""

    attaching_notifies: Bool | None = None
    """Needed with `send_notifications`: whether Shopify by itself tells a customer who is attached to a gift
    card. Its documentation does not say; try it with a card and a customer of your own. If true, giftsync
    attaches the customer and leaves the telling to Shopify; if false, it asks for one message."""

    send_notifications: Bool = False
    """Buyers of cards that are sold elsewhere from now on are told by Shopify that they can use them online.
    If the order there shows their e-mail address or phone number, they are found among the shop's customers,
    or made there with that and nothing else. Cards that exist already, and imports, tell nobody. If false, no
    customer data is sent to Shopify. The app needs the scope write_customers."""

    version: Annotated[
        str, Field(pattern=r"^20[0-9]{2}-(01|04|07|10)$"), form('an API version such as "2026-10"')
    ] = "2026-10"
    """The version of the Admin API to speak."""

    template_suffixes: Annotated[
        dict[str, str], form('a table such as { Gavekort = "gift", Tilgodelapp = "credit" }')
    ] = Field(default_factory=dict)
    """The link's brands, by their names on the other sides, and the template suffix of their cards in
    Shopify. A card that is created on the other side is of the brand or suffix that is named here; if none
    is, of Shopify's default template or the other side's default brand."""

    suspension: Literal["reversible", "deactivate"] = "reversible"
    """What happens in Shopify to a card that is suspended elsewhere. `reversible`: it gets an expiry date in
    the past, which is taken away when the suspension is. `deactivate`: it is deactivated, which Shopify never
    takes back; a release in the store then opens a conflict."""

    @model_validator(mode="after")
    def _check_auth(self) -> ShopifySection:
        """What is needed depends on other keys, which pydantic cannot say of a key."""
        needed = ["token"] if self.auth == "token" else ["client_id", "client_secret"]
        if self.send_notifications:
            needed.append("attaching_notifies")
        check_there(self, needed)
        return self

    @property
    def brand_names(self) -> Mapping[str, str]:
        return self.template_suffixes

    @property
    def suspends_for_good(self) -> bool:
        return self.suspension == "deactivate"
