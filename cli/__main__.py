"""`python -m cli` writes docs/reference/cli.md, json.md, the schemas and the recorded help anew."""

from __future__ import annotations

from pathlib import Path

from cli.help_index import INDEX
from cli.reference import render_help_index, render_reference
from cli.schemas import render_page, schema_files

FOLDER = Path("docs/reference")
REFERENCE = FOLDER / "cli.md"
JSON_PAGE = FOLDER / "json.md"
SCHEMAS = FOLDER / "schemas"

if __name__ == "__main__":
    REFERENCE.write_text(render_reference(), encoding="utf-8")
    INDEX.write_text(render_help_index(), encoding="utf-8")
    JSON_PAGE.write_text(render_page(), encoding="utf-8")
    SCHEMAS.mkdir(exist_ok=True)
    for name, text in schema_files():
        (SCHEMAS / name).write_text(text, encoding="utf-8")
