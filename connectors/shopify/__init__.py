"""A Shopify shop as a side: its gift cards over the GraphQL Admin API."""

from connectors.shopify.side import ShopifySide

__all__ = ["ShopifySide"]
