"""What is taken out of text, and what stays: serials in every form go, words stay."""

from __future__ import annotations

import builtins
import errno
import os
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import psycopg.errors
import pytest
import requests.exceptions
import sqlalchemy.exc
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.api.card import Seen, Unreadable
from connectors.api.errors import InDoubt, SideClosed
from mappings.redaction import SAID_LENGTH_MAX, redact, said

NOW = datetime(2026, 11, 28, tzinfo=UTC)
#: Zero in ASCII, full-width, Arabic-Indic and Devanagari.
ZEROS = ("0", "\uff10", "\u0660", "\u0966")
GAPS = ("", " ", ".", "-", "_", "\u00a0", "\u2013", "\u00b7", " - ", "\u3000", "\uff0e", "\u200b", "\u202f")
SHOPIFY_ALPHABET = "bcdefghjkmpqrtvwxy2346789"
PROSE = st.sampled_from(("", "the card ", "card=", "(", "number: ", '{"code": "', "/giftcards/"))
AFTER = st.sampled_from(("", " is used", ")", '"}', ", twice", ".", "/balance", "\n"))


@st.composite
def printed_numbers(draw: st.DrawFn) -> tuple[str, str]:
    """A number as somebody may have printed or typed it, and its digits."""
    digits = draw(st.text("0123456789", min_size=8, max_size=24))
    zero, gap = draw(st.sampled_from(ZEROS)), draw(st.sampled_from(GAPS))
    size = draw(st.integers(1, 8))
    groups = [digits[at : at + size] for at in range(0, len(digits), size)]
    return gap.join("".join(chr(ord(zero) + int(d)) for d in group) for group in groups), digits


def seen_digits(text: str) -> list[str]:
    """The runs of digits in a text, as ASCII, through whatever stands between two of them."""
    plain = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in text)
    return re.findall(r"\d+", re.sub("|".join(map(re.escape, sorted(GAPS[1:], key=len))), "", plain))


@settings(deadline=None)
@example(("0000 0000 0000 0", "0000000000000"), "the card ", "")
@example(("0000 0000 0000 0", "0000000000000"), "the gift card ", " is used")
@given(printed_numbers(), PROSE, AFTER)
def test_of_a_number_in_any_digits_and_groups_no_more_than_four_are_seen(
    number: tuple[str, str], before: str, after: str
) -> None:
    printed, digits = number
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}|(\d{1,3}\.){3}\d{1,3}", printed, re.ASCII):
        return  # As good as any date or network address.

    shown = redact(f"{before}{printed}{after}")

    assert shown == f"{before}••••{digits[-4:]}{after}"


@settings(deadline=None)
@given(st.text(SHOPIFY_ALPHABET, min_size=16, max_size=20), st.booleans(), PROSE, AFTER)
@example("bdfghjkmqrtvwxyz", True, "", "")
def test_of_a_code_that_shopify_makes_no_more_than_four_characters_are_seen(
    code: str, upper: bool, before: str, after: str
) -> None:
    printed = code.upper() if upper else code

    assert redact(f"{before}{printed}{after}") == f"{before}••••{printed[-4:]}{after}"


@settings(deadline=None)
@given(st.text(SHOPIFY_ALPHABET.replace("e", ""), min_size=16, max_size=16), st.sampled_from(" -."))
@example("222bbbyb2222bbyb", " ")
def test_of_a_code_in_groups_of_four_no_more_than_four_characters_are_seen(code: str, gap: str) -> None:
    printed = gap.join(code[at : at + 4] for at in range(0, 16, 4)).upper()

    assert redact(f"code {printed}!") == f"code ••••{printed[-4:]}!"


@settings(deadline=None)
@given(st.text(max_size=200))
@example("••••1234 5678 9012")
@example("2026-11-28 1234 5678")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mail kari.nordmann+x@example.co.uk now", "mail [hidden] now"),
        ("blåbær@eksempel.no", "[hidden]"),
        ("postgresql://user:hunter2@host/name", "postgresql://user:[hidden]@host/name"),
        ("postgresql://user:p@ss/w:rd@host/name", "postgresql://user:[hidden]@host/name"),
        ("https://:hunter2@host/", "https://:[hidden]@host/"),
        ("https://ghp_token@host/", "https://[hidden]@host/"),
        ("http://host:8080/path", "http://host:8080/path"),
        ("https://x/y?access_token=abc&page=2#a", "https://x/y?access_token=[hidden]&page=2#a"),
        ("https://x/?page=1&hmac=abc&code=d&X-Amz-Signature=e", None),
        ("https://x/#id_token=abc", "https://x/#id_token=[hidden]"),
        ("Authorization: Bearer abc", "Authorization: [hidden]"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: [hidden]"),
        ("shpat_0123456789abcdef", "[hidden]"),
    ],
)
def test_passwords_tokens_and_mail_addresses_are_hidden(text: str, shown: str | None) -> None:
    wanted = shown or "https://x/?page=1&hmac=[hidden]&code=[hidden]&X-Amz-Signature=[hidden]"
    assert redact(text) == wanted


EXCEPTIONS = sorted(
    {
        f"{module.__name__}.{name}"
        for module in (builtins, sqlalchemy.exc, psycopg.errors, requests.exceptions)
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, BaseException)
    }
)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_the_name_of_an_error_stays(name: str) -> None:
    assert redact(name) == name
    assert redact(f"{name.split('.')[-1]}: it broke") == f"{name.split('.')[-1]}: it broke"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_what_the_system_says_of_an_error_stays(number: int) -> None:
    words = f"[Errno {number}] {os.strerror(number)}: 'giftsync.db'"
    assert redact(words) == words


PAGES = [path.read_text(encoding="utf-8") for path in Path("docs").rglob("*.md")]
WORDS = sorted({word for page in PAGES for word in re.findall(r"[^\W\d_]+", page)})


def test_every_word_of_the_documentation_stays() -> None:
    assert len(WORDS) > 1_000
    assert [word for word in WORDS if redact(word) != word] == []


@pytest.mark.parametrize(
    "text",
    [
        "read-only file system",
        "disk file full with 1000 more card",
        "responsibilities of internationalization",
        "MAX_COST_EXCEEDED",
        "INTERNALSERVERERROR",
        "/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py",
        "2026-11-28 21:28:58.123456+00:00",
        "2026-11-28T21:28:58Z",
        "127.0.0.1:8080 and 192.168.100.200",
        "1 234 567.89 NOK, 12345678.00 NOK and 12 345 678 JPY",
        "gid://shopify/GiftCard/1234567890123 under gs-abcdefghij234567",
        "port 8080, process 1234567",
        "Bearer token is missing",
        "Basic authentication is needed",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


# --- A side's words -----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(max_size=1_000))
@example("a" * 10_000)
@example("\x1b[31mred\r\nnext 1234567890123456")
def test_a_sides_words_are_one_bounded_printable_line(words: str) -> None:
    line = said(words)

    assert len(line) <= SAID_LENGTH_MAX
    assert line.isprintable()
    assert said(line) == line


def test_a_sides_words_are_redacted_and_bounded_in_errors_and_observations() -> None:
    words = "BLOCKED 1234567890123456 " + "x" * 100_000
    seen = Seen("1", 0, "NOK", None, words, None, "3456", NOW)

    for shown in (
        *(str(InDoubt(words)), str(SideClosed("no", words).remedy), str(SideClosed(words, ""))),
        *(Unreadable(words, NOW).reason, seen.status_text),
    ):
        assert shown.startswith("BLOCKED ••••3456 ")
        assert shown.endswith("…")
        assert len(shown) <= 1_000
