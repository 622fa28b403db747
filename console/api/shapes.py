"""What requests and answers look like. Amounts are decimal strings, so that no float touches money."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

#: The most items of one list that an answer holds.
PAGE_MAX = 100

Amount = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$", description="A decimal string.", examples=["125.00"]),
]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.", examples=["NOK"])]
Location = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,63}$",
        description="Where it happens. May be left out by a token with one location.",
        examples=["oslo-1"],
    ),
]
Reference = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9 ._:/#-]{0,64}$",
        description="Yours: a receipt, an order. Never a card's number.",
        examples=["receipt 1007"],
    ),
]


def _as_written(value: object) -> object:
    """A day as text alone: a number would be taken for seconds, and some programs write no date as year 1."""
    if not isinstance(value, str) or not re.fullmatch("[2-9][0-9]{3}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("a day is written as 2026-12-31, from the year 2000 on")
    return value


Day = Annotated[date, BeforeValidator(_as_written), Field(strict=False, examples=["2026-12-31"])]
Number = Annotated[str, Field(min_length=1, max_length=80, description="As printed or scanned.")]
Cvc = Annotated[str, Field(pattern=r"^[0-9]{3,8}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class CardKey(Strict):
    """A card, by exactly one of its number and its token."""

    number: Number | None = None
    token: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        default=None, description="From the QR code: the token or the whole address."
    )
    cvc: Cvc | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> CardKey:
        if (self.number is None) == (self.token is None):
            raise ValueError("give exactly one of number and token")
        return self


class ValidateRequest(CardKey):
    location: Location | None = None
    look: Literal["ledger", "sides"] = Field(
        default="ledger", description="`sides`: ask every side now, which takes as long as they take."
    )


class CardAnswer(BaseModel):
    """A card as its caller may know it. Its number is never in it."""

    token: str
    type: Literal["monetary"] = "monetary"
    promotional: bool = False
    item: None = Field(default=None, description="Item gifts have no place on any side of giftsync.")
    restrictions: list[str] = Field(default_factory=list)
    redeemable: bool
    reason: str | None = Field(description="Why it is not redeemable: a stable code.")
    display: str = Field(description="For a screen: the balance, or why not.")
    balance: str
    currency: str
    status: Literal["inactive", "active", "suspended", "closed"]
    expires_on: date | None
    last_four: str
    as_of: datetime
    unseen: list[str] = Field(default_factory=list, description="Sides that could not be looked at.")


class RedemptionRequest(CardKey):
    amount: Amount
    currency: Currency
    location: Location | None = None
    reference: Reference = ""


class AuthorizationRequest(RedemptionRequest):
    expires_in_seconds: Annotated[int, Field(ge=60, le=30 * 86_400)] = 3_600


class RedemptionAnswer(BaseModel):
    """A redemption or an authorization as it is now."""

    id: str
    card: str = Field(description="The card's token.")
    kind: Literal["redemption", "authorization"]
    state: Literal["pending", "authorized", "completed", "refused", "voided", "expired", "reversed"]
    mode: Literal["authorise", "record"]
    confirmed: bool = Field(description="No side can spend the money again.")
    amount: str = Field(description="What it takes off the card now.")
    asked: str
    balance: str = Field(description="Of the card, right after the last step of it.")
    currency: str
    location: str
    reference: str
    reason: str
    made_at: datetime
    ends_at: datetime | None = Field(
        description="`pending`: it is certain then. `authorized`: it goes back then unless it is captured."
    )


class RedemptionList(BaseModel):
    items: list[RedemptionAnswer]
    next_cursor: str | None


class PartRequest(Strict):
    """Left out, `amount` is all that is left."""

    amount: Amount | None = None
    location: Location | None = None
    reference: Reference = ""


class VoidRequest(Strict):
    location: Location | None = None
    reference: Reference = ""


class IssueRequest(Strict):
    type: Literal["monetary", "item", "promotional"] = "monetary"
    amount: Amount
    currency: Currency
    number: Number | None = Field(default=None, description="Left out: one of the pool.")
    expires_on: Day | None = None
    brand: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{1,64}$")] | None = None
    cvc: bool = Field(
        default=False, description="Give the card a CVC, without which the API does not take it."
    )
    location: Location | None = None
    reference: Reference = ""


class IssueAnswer(BaseModel):
    """A new card. Number and CVC are for whoever hands it over; the CVC is not kept."""

    id: str
    card: str
    number: str
    cvc: str | None
    balance: str
    currency: str
    expires_on: date | None


class LoadRequest(Strict):
    amount: Amount
    currency: Currency
    location: Location | None = None
    reference: Reference = ""


class LoadAnswer(BaseModel):
    id: str
    card: str
    amount: str
    balance: str
    currency: str


class ChangeRequest(Strict):
    """What is left out stays as it is; `expires_on: null` takes the date away."""

    status: Literal["active", "suspended", "closed"] | None = None
    expires_on: Day | None = None
    location: Location | None = None
    reference: Reference = ""


class HistoryLine(BaseModel):
    at: datetime
    kind: str
    place: str | None = Field(description="The side it came from; null: giftsync itself.")
    amount: str = Field(description="Signed.")
    balance: str
    redemption: str | None


class History(BaseModel):
    card: str
    items: list[HistoryLine]
    next_cursor: str | None
