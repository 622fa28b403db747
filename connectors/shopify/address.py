"""The shop's permanent name, and where it answers."""

from __future__ import annotations

import re
from typing import Final

_SHOP: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\.myshopify\.com")
_LOOPBACK: Final = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?/?")


def checked_shop(shop: str) -> str:
    """The name in lower case; raises ValueError for anything that is no permanent name."""
    name = shop.strip().lower()
    if not _SHOP.fullmatch(name):
        raise ValueError("the shop must be its permanent name, such as example.myshopify.com")
    return name


def checked_url(shop: str, base_url: str | None) -> str:
    """Where to ask; raises ValueError for an address over which secrets would travel readably."""
    url = base_url or f"https://{shop}"
    if not url.startswith("https://") and not _LOOPBACK.fullmatch(url):
        raise ValueError(
            "`url` must start with https://, or be an address of this machine without a path, such as "
            "http://127.0.0.1:8700"
        )
    return url
