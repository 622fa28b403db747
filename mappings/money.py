"""Money: integer minor units inside, `Decimal` strings only at the edges."""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Final

#: ISO 4217 currencies whose minor unit is not a hundredth (list of 2026).
_EXPONENTS: Final = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}

#: More digits than any gift card holds; a longer amount is a misreading.
AMOUNT_MINOR_MAX: Final = 10**15
#: What amounts are written with. `Decimal` takes more: `4_90`, spaces around, digits of other alphabets.
_LETTERS: Final = re.compile(r"[+\-.0-9A-Za-z]+")
#: The default context silently rounds what has more than 28 digits.
_EXACT: Final = Context(prec=60, traps=[Inexact])


class MoneyError(ValueError):
    """An amount that cannot be taken to the minor unit exactly; the message says why."""


@lru_cache(64)
def currency_exponent(currency: str) -> int:
    """How many decimals the currency's minor unit has: 2 for NOK, 0 for JPY."""
    if len(currency) != 3 or not currency.isascii() or not currency.isupper():
        raise MoneyError(f"{currency!r} is not an ISO 4217 currency code such as NOK")
    return _EXPONENTS.get(currency, 2)


def minor_from_decimal(text: str, currency: str) -> int:
    """`"41.5"` NOK is 4150. Exact: an amount finer than the minor unit raises MoneyError."""
    if not isinstance(text, str) or not _LETTERS.fullmatch(text):
        raise MoneyError("the amount is not a decimal number")
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise MoneyError("the amount is not a decimal number") from None
    if not amount.is_finite():
        raise MoneyError("the amount is not a finite number")
    # Before anything is computed: an exponent of a few digits would fill the memory.
    if amount.copy_abs() > AMOUNT_MINOR_MAX:
        raise MoneyError("the amount is larger than any gift card holds")
    try:
        scaled = amount.scaleb(currency_exponent(currency), _EXACT)
    except Inexact:
        raise MoneyError(f"the amount is finer than the minor unit of {currency}") from None
    minor = int(scaled)
    if minor != scaled:
        raise MoneyError(f"the amount is finer than the minor unit of {currency}")
    if abs(minor) > AMOUNT_MINOR_MAX:
        raise MoneyError("the amount is larger than any gift card holds")
    return minor


def minor_from_text(text: str, currency: str) -> int:
    """An amount as people type it or giftsync prints it: `1 234.50 NOK`, `1234,5`, `kr 250`.

    Raises MoneyError for what could be two amounts, such as `1,234`.
    """
    bare = re.sub(rf"(?i)^(?:{currency}|kr\.?)|(?:{currency}|kr\.?|,-)$", "", text.strip()).strip()
    grouped = re.fullmatch(r"([-+]?\d{1,3})((?:[ '\u00a0\u2009\u202f]\d{3})*)([.,]\d+)?", bare)
    plain = re.fullmatch(r"([-+]?\d+)()([.,]\d+)?", bare)
    both = re.fullmatch(r"([-+]?\d{1,3})((?:,\d{3})+)(\.\d+)", bare) or re.fullmatch(
        r"([-+]?\d{1,3})((?:\.\d{3})+)(,\d+)", bare
    )
    found = grouped or plain or both
    if found is None:
        raise MoneyError(f"{text.strip()!r} is not an amount")
    decimals = found[3] or ""
    if len(decimals) == 4 and currency_exponent(currency) < 3:
        raise MoneyError(f"{text.strip()!r} can be read in two ways; write it without thousands marks")
    digits = re.sub(r"\D", "", found[2])
    return minor_from_decimal(f"{found[1]}{digits}{decimals.replace(',', '.')}", currency)


def decimal_from_minor(minor: int, currency: str) -> str:
    """4150 NOK is `"41.50"`; the shape that every side accepts."""
    exponent = currency_exponent(currency)
    if exponent == 2 and minor >= 0:
        return f"{minor // 100}.{minor % 100:02d}"  # As nearly all amounts are; files have millions of them.
    whole, part = divmod(abs(minor), 10**exponent)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole}.{part:0{exponent}d}" if exponent else f"{sign}{whole}"


def format_money(minor: int, currency: str) -> str:
    """For people: `1 234.50 NOK`, with a thin grouping that no locale misreads."""
    exponent = currency_exponent(currency)
    return f"{Decimal(minor).scaleb(-exponent):,.{exponent}f} {currency}".replace(",", " ")
