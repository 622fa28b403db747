"""Whether an address may carry secrets."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_private_channel(address: str) -> bool:
    """Whether nobody between can read what is sent to this URL: HTTPS anywhere, plain HTTP on loopback."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.scheme not in ("http", "https"):
        return False
    return parts.scheme == "https" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
