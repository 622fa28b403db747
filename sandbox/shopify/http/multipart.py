"""Reads a posted multipart form from its bytes."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'name="([^"]*)"', re.IGNORECASE)


def parts_of(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each part, in order; empty if this is no multipart form."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        return []
    delimiter = b"\r\n--" + match[1].encode()
    parts = []
    for chunk in (b"\r\n" + body).split(delimiter)[1:]:
        if chunk.startswith(b"--"):
            break
        head, separator, content = chunk.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if separator and name is not None:
            parts.append((name[1].decode("utf-8", "replace"), content))
    return parts
