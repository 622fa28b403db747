"""Money: integer minor units inside, decimal text at the edges (shopify.md §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

#: Currencies whose minor unit is not a hundredth.
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_DIGITS = {
    **dict.fromkeys(_NO_DECIMALS.split(" "), 0),
    **dict.fromkeys(_THREE_DECIMALS.split(" "), 3),
}
_SIGNS = {
    "AUD": "$",
    "CAD": "$",
    "NZD": "$",
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "NOK": "kr ",
    "SEK": "kr ",
    "DKK": "kr ",
}


class SubCentError(ValueError):
    """An amount that is finer than the currency's minor unit."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of `currency_code` (an ISO 4217 code)."""

    minor: int
    currency_code: str

    @property
    def amount(self) -> str:
        """Shopify's text: shortest form with at least one decimal ("5.0", "41.01", "-0.01")."""
        return shortest(self.minor, self.currency_code)


def minor_digits(currency: str) -> int:
    """Decimals of the currency's minor unit."""
    return _MINOR_DIGITS.get(currency, 2)


def to_decimal(minor: int, currency: str) -> Decimal:
    """Minor units as an exact number of major units."""
    return Decimal(minor).scaleb(-minor_digits(currency))


def to_minor(amount: Decimal, currency: str, *, round_sub_cent: bool = False) -> int:
    """Major units as minor units. Raises SubCentError if that loses something, unless told to round."""
    scaled = amount.scaleb(minor_digits(currency))
    whole = scaled.to_integral_value(ROUND_HALF_UP)
    if whole != scaled and not round_sub_cent:
        raise SubCentError(f"{amount} {currency} has too many decimals")
    return int(whole)


def shortest(minor: int, currency: str) -> str:
    """Decimal text without trailing zeroes, but with at least one decimal (shopify.md §3.3)."""
    text = f"{to_decimal(minor, currency):f}"
    if "." not in text:
        return f"{text}.0"
    text = text.rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def plain(minor: int, currency: str) -> str:
    """Decimal text with all of the currency's decimals, for the control plane."""
    return f"{to_decimal(minor, currency):f}"


def displayed(minor: int, currency: str) -> str:
    """As Shopify writes it in messages: "$3,000.00 CAD". Signs of other currencies are invented."""
    return f"{_SIGNS.get(currency, '')}{to_decimal(minor, currency):,f} {currency}"
