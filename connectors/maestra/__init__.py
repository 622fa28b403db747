"""Maestra (Mindbox) as a side (docs/reference/apis/maestra.md)."""
