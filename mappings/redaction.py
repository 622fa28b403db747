"""What must not be seen is taken out of text: serials, tokens, passwords, mail addresses. Pure.

Text that comes from elsewhere is redacted by its looks, so this errs towards hiding, except that words of
prose, names of errors, dates, amounts and network addresses stay readable.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from typing import Final

HIDDEN: Final = "[hidden]"
#: Longer than any sentence of a side that helps.
SAID_LENGTH_MAX: Final = 300

#: Serials have at least so many digits.
_DIGITS_MIN: Final = 8
#: Longer than nearly all words; what is longer has to look like one.
_WORD_LENGTH_MAX: Final = 15

_TOKENS: Final = re.compile(
    r"\bshp[a-z]{2,3}_[A-Za-z0-9]+"
    r"|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+"
    r"|\b[Bb]earer\s+(?!(?:token|auth)[a-z]*\b)\S+"
    r"|\b[Bb]asic\s+(?=\S*[0-9=+/])[A-Za-z0-9+/=]{4,}"
)
#: `user:password@`, where the password may hold `/` and `@`; a port is none.
_PASSWORD_IN_URL: Final = re.compile(r"(://[^:/\s@]*:)(?!\d{1,5}(?:[/?#\s]|$))\S*@")
_USER_IN_URL: Final = re.compile(r"(://)[^:/\s@]+@")
_TOKEN_IN_QUERY: Final = re.compile(
    r"""(?ix) ([?&;\#] [\w.-]* (?:token|secret|key|passw|pwd|code|hmac|sig|auth|session|cvc) [\w.-]* =)
        [^&\#\s"'<>]+"""
)
_MAIL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")

#: One space or mark between two groups of a printed serial, also such as nobody sees.
_GAP: Final = (
    r"(?:[ \t\u00a0\u2000-\u200d\u202f\u2060\u3000\ufeff]?[-._·•\u2010-\u2015\u2212\uff0d\uff0e]"
    r"[ \t\u00a0\u2000-\u200d\u202f\u2060\u3000\ufeff]?|[ \t\u00a0\u2000-\u200d\u202f\u2060\u3000\ufeff])"
)
_THIN: Final = r"[ \u00a0\u2009\u202f,]"
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#: At each place the first that fits. Only dates and codes are looked at any further.
_PARTS: Final = re.compile(
    rf"""(?x)
      (?P<shown> •{{4}}\w{{0,4}}                                   # masked already
        | gs-[a-z0-9]+(?:-\d+)?                                    # a marker of ours
        | gid://shopify/\w+/[0-9]+
        | (?<![\w.]) {_OCTET}(?:\.{_OCTET}){{3}} (?![\w.]*\d)    # an IP address
        | (?<![\w.,-]) [0-9]{{1,3}}(?:{_THIN}[0-9]{{3}})+(?:\.[0-9]{{1,3}})?(?=[ \u00a0][A-Z]{{3}}\b)
        | (?<![\d:]) [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:[.,][0-9]{{1,9}})? (?![\d:])      # a time of day
        | (?<![\w.,-]) [0-9]{{1,9}}\.[0-9]{{2,3}}(?=[ \u00a0][A-Z]{{3}}\b)
      )
    | (?P<date> (?<![\w.-]) [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} (?![.-]?\d) )
    | (?P<number> (?<![A-Za-z0-9]) \d(?:{_GAP}?\d){{7,}} (?![A-Za-z0-9]) )
    | (?P<code> (?<![A-Za-z0-9])
        # A word of four letters before a number is none of it, or the number's last digits would stay.
        (?! (?:[A-Za-z]{{4}}[ ._-])+ (?:[0-9]{{4}}[ ._-]){{2,15}} [0-9]{{1,3}} (?![A-Za-z0-9]) )
        (?: [A-Za-z0-9]{{4}}(?:[ ._-][A-Za-z0-9]{{4}}){{2,15}} | [A-Za-z0-9]{{12,}} ) (?![A-Za-z0-9]) )
    | (?P<digits> \d(?:{_GAP}?\d){{7,}} )
    """
)
_MIXED: Final = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])")
#: `MovedIn20Warning`: several words in one, some with a small number.
_HUMP: Final = r"[A-Z]{1,5}[a-z]+[0-9]{0,2}"
_CAMEL_CASE: Final = re.compile(rf"[a-z]*(?:{_HUMP})+[A-Z]{{0,5}}[0-9]{{0,2}}")
#: Letters for each word in it, at least; random ones change their case more often.
_HUMP_LENGTH_MIN: Final = 4
_CONSONANTS: Final = re.compile(r"[^aeiouy]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without tokens, passwords and mail addresses, and with serials as `••••1234`."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _TOKENS.sub(HIDDEN, text)
    text = _PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", text)
    text = _USER_IN_URL.sub(rf"\1{HIDDEN}@", text)
    text = _TOKEN_IN_QUERY.sub(rf"\1{HIDDEN}", text)
    text = _MAIL.sub(HIDDEN, text)
    return _PARTS.sub(_masked, text)


def said(words: str, length_max: int = SAID_LENGTH_MAX) -> str:
    """A side's words as they may be shown and stored: one line, bounded, redacted."""
    # Cut first: the rest is of no use, and may be huge. What is cut through is too short to give away.
    head = words[: length_max * 2]
    line = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    line = redact(line)
    return line if len(line) <= length_max and len(words) == len(head) else f"{line[: length_max - 1]}…"


def _masked(match: re.Match[str]) -> str:
    text = match.group()
    match match.lastgroup:
        case "shown":
            return text
        case "date":
            return text if _is_date(text) else _mask(text)
        case "code":
            return _masked_code(text)
    return _mask(text)


def _masked_code(text: str) -> str:
    groups = re.split(r"[ ._-]", text)
    if len(groups) == 1:
        return _mask(text) if _is_code(text) else _masked_digits(text)
    # Words of four letters before and after a code look like groups of it.
    first = next((at for at, one in enumerate(groups) if not _is_plain(one)), len(groups))
    after = next((at for at, one in enumerate(reversed(groups)) if not _is_plain(one)), 0)
    last = len(groups) - after
    if not _are_groups_of_a_code(groups[first:last]):
        return _masked_digits(text)
    return text[: first * 5] + _mask(text[first * 5 : last * 5 - 1]) + text[last * 5 - 1 :]


def _masked_digits(text: str) -> str:
    """Words, in which digits may still be a serial."""
    return re.sub(rf"[0-9](?:{_GAP}?[0-9]){{7,}}", lambda found: _mask(found.group()), text)


def _mask(text: str) -> str:
    bare = [c for c in text if c.isalnum()]
    return "••••" + "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in bare[-4:])


def _count_digits(text: str) -> int:
    return sum(c.isdigit() for c in text)


def _is_date(text: str) -> bool:
    try:
        return 1900 <= date.fromisoformat(text).year < 2200
    except ValueError:
        return False


def _is_code(text: str) -> bool:
    if text.isdigit():
        return True
    if _CAMEL_CASE.fullmatch(text) and len(re.findall(_HUMP, text)) * _HUMP_LENGTH_MIN <= len(text):
        return False
    if text.isalpha():
        return len(text) > _WORD_LENGTH_MAX and not _is_word(text)
    return True


def _is_plain(group: str) -> bool:
    return group.isalpha() and group.islower() and _is_word(group, 2)


def _are_groups_of_a_code(groups: list[str]) -> bool:
    """Whether groups of four are a printed code, and not words of four letters and numbers of four digits."""
    letters = [group for group in groups if group.isalpha()]
    strange = [group for group in letters if not _is_word(group, 2)]
    mixed = [group for group in groups if _MIXED.match(group)]
    # Prose has hardly any capitals or numbers of four digits beside a mixed group.
    unusual = strange or any(group.isdigit() or group.isupper() for group in groups if group not in mixed)
    digits = _count_digits("".join(groups))
    return (
        digits >= _DIGITS_MIN
        or len(mixed) > 1
        or bool(mixed and unusual)
        or (len(strange) > 1 and 2 * len(strange) >= len(letters))
    )


def _is_word(text: str, consonants_max: int = 5) -> bool:
    """Whether it can be spoken: random letters have few vowels, or many consonants in a row."""
    lower = text.lower()
    vowels = [c for c in lower if c in "aeiou"]
    runs = [len(run) for run in _CONSONANTS.findall(lower)]
    if len(text) > _WORD_LENGTH_MAX:
        # The vowels of the codes that shops make are all one letter.
        return (
            len(set(vowels)) > 1 and len(vowels) * 4 >= len(text) and max(runs, default=0) <= consonants_max
        )
    return any(c in "aeiouy" for c in lower) and max(runs, default=0) <= consonants_max
