"""What the emulators read of a request in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def object_in(body: bytes, refusal: Callable[[str], Exception]) -> dict[str, Any]:
    """The JSON object of a body. Raises the refusal of these words where it holds none."""
    try:
        found = json.loads(body)
    except ValueError:
        raise refusal("the body is not JSON") from None
    if not isinstance(found, dict):
        raise refusal("the body is not an object")
    return found
