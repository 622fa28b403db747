"""The one reader of JSON that others wrote: a body is read exactly as it is meant, or not at all.

The parser of the standard library takes what JSON does not have (NaN, infinities), lets the last of two keys
win, and ends with errors of its own for what is too deep or too long.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

#: An integer of 64 bits has at most 19 digits; no id, count or amount has more.
INTEGER_DIGITS_MAX: Final = 19
#: A text may hold half a character (`\ud800`), which neither a database nor a log takes.
_MAYBE_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class NotJson(ValueError):
    """The body cannot be believed. The message names the reason and never holds a part of the body."""


def read_json(content: bytes) -> object:
    """The value of a JSON text in UTF-8. Raises NotJson."""
    try:
        value: object = _DECODER.decode(content.decode("utf-8-sig"))
        if _MAYBE_HALF.search(content):
            json.dumps(value, ensure_ascii=False).encode()
    except NotJson:
        raise
    except UnicodeError:
        raise NotJson("it is not text in UTF-8") from None
    except RecursionError:
        raise NotJson("it is nested deeper than any answer") from None
    except ValueError:
        # The error of the parser holds the body.
        raise NotJson("it is not JSON") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJson("an object has a name twice")
    return found


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > INTEGER_DIGITS_MAX:
        raise NotJson("a number is larger than any there is")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson("a number is larger than any there is")
    return number


def _constant(_: str) -> float:
    raise NotJson("a number is none")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
