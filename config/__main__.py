"""`python -m config` writes docs/reference/configuration.md anew."""

from __future__ import annotations

from pathlib import Path

from config.template import render_reference

REFERENCE = Path("docs/reference/configuration.md")

if __name__ == "__main__":
    REFERENCE.write_text(render_reference(), encoding="utf-8")
