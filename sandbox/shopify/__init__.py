"""An emulator of Shopify's Admin API for gift cards, version 2026-10 (shopify.md)."""

from sandbox.shopify.http.access import ALL_SCOPES
from sandbox.shopify.http.emulator import ShopifyEmulator
from sandbox.shopify.http.throttle import Plan
from sandbox.shopify.shop.behaviour import ShopifyBehaviour

__all__ = ["ALL_SCOPES", "Plan", "ShopifyBehaviour", "ShopifyEmulator"]
