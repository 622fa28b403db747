"""An emulator of Shopify's Admin API for gift cards, version 2026-10 (shopify.md)."""

from sandbox.shopify.access import ALL_SCOPES
from sandbox.shopify.behaviour import ShopifyBehaviour
from sandbox.shopify.emulator import ShopifyEmulator
from sandbox.shopify.throttle import Plan

__all__ = ["ALL_SCOPES", "Plan", "ShopifyBehaviour", "ShopifyEmulator"]
