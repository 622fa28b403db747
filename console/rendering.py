"""The templates, and what every page may write with."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from mappings.serials import mask

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"
_CODE = re.compile("`([^`]+)`")


@cache
def environment() -> Environment:
    """Everything is escaped; what a template does not know is an error."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = asset
    made.filters["code"] = _with_code
    made.filters["mask"] = lambda last: mask(last) if last else ""
    return made


def _with_code(words: str) -> Markup:
    """A sentence whose `commands` stand out; all of it is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(words))))


@cache
def asset(name: str) -> str:
    """The address of an asset, which changes with what is in it."""
    digest = hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()[:12]
    return f"/assets/{digest}/{name}"
