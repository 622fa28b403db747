"""`python -m cli` writes docs/reference/cli.md anew."""

from __future__ import annotations

from pathlib import Path

from cli.reference import render_reference

REFERENCE = Path("docs/reference/cli.md")

if __name__ == "__main__":
    REFERENCE.write_text(render_reference(), encoding="utf-8")
