"""Customer writes and their user errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.shopify.graphql.errors import UserError, invalid_id
from sandbox.shopify.graphql.ids import number_of
from sandbox.shopify.shop.model import Customer
from sandbox.shopify.shop.state import ShopState

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE = re.compile(r"\+[0-9]{7,15}", re.ASCII)
_NAME_LENGTH_MAX = 255
_NOTE_LENGTH_MAX = 5_000

Input = Mapping[str, Any]


def create(state: ShopState, wanted: Input) -> Customer | list[UserError]:
    """customerCreate: the new customer, or every user error."""
    errors = _errors(state, wanted, None)
    if wanted.get("id") is not None:
        errors.insert(0, UserError(("id",), "Cannot specify ID on creation"))
    if not errors and not any(wanted.get(key) for key in ("email", "phone", "firstName", "lastName")):
        errors.append(UserError(None, "A customer must have a name, phone number or email address"))
    if errors:
        return errors
    now = state.now()
    customer = Customer(number=state.sequence.next(), created_at=now, updated_at=now)
    _write(customer, wanted)
    state.customers.add(customer)
    state.emit("CUSTOMERS_CREATE", customer)
    return customer


def update(state: ShopState, wanted: Input) -> Customer | list[UserError]:
    """customerUpdate: the customer, or every user error."""
    number = None if wanted.get("id") is None else number_of(wanted["id"], "Customer")
    if wanted.get("id") is not None and number is None:
        raise invalid_id(wanted["id"])
    customer = state.customers.get(number)
    if customer is None:
        return [UserError(("id",), "Customer does not exist")]
    errors = _errors(state, wanted, customer)
    if errors:
        return errors
    with state.customers.changing(customer):
        _write(customer, wanted)
        customer.updated_at = state.now()
    state.emit("CUSTOMERS_UPDATE", customer)
    return customer


def _errors(state: ShopState, wanted: Input, updated: Customer | None) -> list[UserError]:
    errors = []
    email, phone = wanted.get("email"), wanted.get("phone")
    if email:
        if not _EMAIL.fullmatch(email):
            errors.append(UserError(("email",), "Email is invalid"))
        elif (owner := state.customer_by_email(email)) is not None and owner is not updated:
            errors.append(UserError(("email",), "Email has already been taken"))
    if phone:
        if not _PHONE.fullmatch(phone):
            errors.append(UserError(("phone",), "Phone is invalid"))
        elif any(one.phone == phone and one is not updated for one in state.customers):
            errors.append(UserError(("phone",), "Phone has already been taken"))
    lengths = (
        ("firstName", "First name", _NAME_LENGTH_MAX),
        ("lastName", "Last name", _NAME_LENGTH_MAX),
        ("note", "Note", _NOTE_LENGTH_MAX),
    )
    for key, label, longest in lengths:
        if len(wanted.get(key) or "") > longest:
            errors.append(UserError((key,), f"{label} is too long (maximum is {longest} characters)"))
    return errors


def _write(customer: Customer, wanted: Input) -> None:
    if "firstName" in wanted:
        customer.first_name = wanted["firstName"]
    if "lastName" in wanted:
        customer.last_name = wanted["lastName"]
    if "email" in wanted:
        customer.email = wanted["email"] and wanted["email"].lower()
    if "phone" in wanted:
        customer.phone = wanted["phone"]
    if "note" in wanted:
        customer.note = wanted["note"]
    if wanted.get("locale"):
        customer.locale = wanted["locale"]
    if "tags" in wanted:
        customer.tags = tuple(wanted["tags"] or ())
