"""Lightspeed Retail X-Series as a side (docs/reference/apis/lightspeed.md, part B)."""
