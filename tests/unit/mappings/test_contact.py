"""How a buyer is reached: what people type, what can be used of it, and that it is never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.contact import Contact, contact_of


@pytest.mark.parametrize(
    ("email", "phone", "expected"),
    [
        (" Kari@Example.com ", "", Contact("kari@example.com")),
        ("", "+47 900 12-345", Contact("", "+4790012345")),
        ("kari@example.com", "90012345", Contact("kari@example.com")),  # No country: it may be anybody's.
        ("kari", "+47 900 12 345", Contact("", "+4790012345")),
        ("kari@example.com, ola@example.com", "", None),
        ("kari@example", "0047", None),
        ("k" * 250 + "@example.com", "", None),
        ("", "", None),
    ],
)
def test_what_can_be_used(email: str, phone: str, expected: Contact | None) -> None:
    assert contact_of(email, phone) == expected


@given(st.text(max_size=40), st.text(max_size=20))
def test_given_anything_that_was_typed_then_what_is_kept_of_it_stays_the_same(email: str, phone: str) -> None:
    found = contact_of(email, phone)

    if found is not None:
        assert contact_of(found.email, found.phone) == found == Contact.load(found.dump())


def test_given_it_is_printed_then_nothing_personal_is_shown() -> None:
    assert repr(Contact("kari@example.com", "+4790012345")) == "Contact()"


def test_given_the_same_address_typed_otherwise_then_a_request_about_it_is_matched() -> None:
    one, other = contact_of("KARI@example.com", ""), contact_of("kari@example.com ", "+4790012345")

    assert one is not None
    assert other is not None
    assert one.digests() < other.digests()
