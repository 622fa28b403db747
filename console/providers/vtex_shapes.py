"""What VTEX sends and is answered (vtex.md §3). Its money is a JSON number, and exact all the same."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from console.api.desk import decimal, minor

#: Printable, since it becomes part of an Idempotency-Key.
RequestId = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,100}$")]
Value = Annotated[Decimal, Field(gt=0, le=10**12, allow_inf_nan=False)]
Code = Annotated[str, Field(max_length=80)]


class Lenient(BaseModel):
    """VTEX sends much that is of no use here, and may send more."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Cart(Lenient):
    redemptionCode: Code | None = None


class SearchRequest(Lenient):
    cart: Cart = Field(default_factory=Cart)


class CreateRequest(Lenient):
    """Of the restrictions none can be kept: giftsync knows no customers of VTEX."""

    relationName: Annotated[str, Field(max_length=200)] = ""
    profileId: Annotated[str, Field(min_length=1, max_length=200)]
    caption: Annotated[str, Field(max_length=500)] = ""
    expiringDate: datetime | None = None
    restrictedToOwner: bool = False
    multipleRedemptions: bool = True
    currencyCode: str | None = None


class OrderInfo(Lenient):
    orderId: Annotated[str, Field(max_length=200)] | None = None


class TransactionRequest(Lenient):
    operation: Literal["Debit", "Credit"]
    value: Value
    requestId: RequestId
    description: str | None = None
    orderInfo: OrderInfo | None = None

    @model_validator(mode="before")
    @classmethod
    def _any_case(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("operation"), str):
            return {**data, "operation": data["operation"].capitalize()}
        return data


class PartRequest(Lenient):
    """Of a cancellation or a settlement."""

    value: Value
    requestId: RequestId


class Asked(BaseModel):
    """What of a request makes it the same one again; an order's cart may differ."""

    what: str
    value: str


def minor_of(value: Decimal, currency: str) -> int:
    """Raises ApiProblem for what is finer than the currency."""
    return minor(f"{value:f}", currency)


def number_of(amount_minor: int, currency: str) -> float:
    """An amount as a JSON number: the shortest that reads back as the same decimal."""
    return float(decimal(amount_minor, currency))


def moment_of(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
