"""Lightspeed Retail R-Series as a side (docs/reference/apis/lightspeed.md, part A)."""
