"""The connector type `shopify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.api.build import BuildContext
from connectors.api.plugin import ConnectorType, OldKey
from connectors.shopify.section import ShopifySection

if TYPE_CHECKING:
    import typer

    from connectors.api.commands import CommandHost, ConfiguredSide
    from connectors.shopify.commands import Attempt
    from connectors.shopify.side import ShopifySide

#: What an older file's directions say, from Shopify's point of view.
_DIRECTIONS: Final = {"to_shopify": "in", "to_pos": "out"}


def build(section: ShopifySection, context: BuildContext) -> ShopifySide:
    """The shop's side."""
    from connectors.shopify.access import token_source, webhook_secrets
    from connectors.shopify.side import ShopifySide

    return ShopifySide(
        shop=section.shop,
        token=token_source(section, context),
        base_url=section.url,
        version=section.version,
        pause=context.pause,
        clock=context.clock,
        name=context.name,
        webhook_secrets=webhook_secrets(section),
        notifies=section.send_notifications,
        attaching_notifies=bool(section.attaching_notifies),
        budget=context.budget,
        called=context.place,
    )


def commands(host: CommandHost) -> typer.Typer:
    """`giftsync shopify install|token`."""
    from connectors.shopify.commands import make_commands

    return make_commands(host)


def connect(side: ConfiguredSide, redirect: str) -> Attempt:
    """An installation from a page of the console."""
    from connectors.shopify.commands import attempt_of

    return attempt_of(side, redirect)


CONNECTOR: Final = ConnectorType(
    name="shopify",
    title="Shopify",
    section=ShopifySection,
    build=build,
    commands=commands,
    connect=connect,
    merchant_keys=("suspension",),
    webhook_keys=("client_secret", "old_client_secret"),
    old_keys={
        "create_update_shopify_cards": OldKey("create_update"),
        "download_shopify_cards": OldKey("download"),
        "send_notifications": OldKey("send_notifications"),
        "lengthen_short_numbers": OldKey("lengthen_short_numbers"),
        "template_suffixes": OldKey("template_suffixes"),
        "suspension": OldKey("suspension"),
        **{
            f"directions.{name}": OldKey(f"directions.{name}", _DIRECTIONS)
            for name in ("balance", "status", "expiry")
        },
    },
)
