"""Somebody writes into the database who has no key: they get no right in the console, and are told of."""

from __future__ import annotations

import hashlib

import pytest

from sync.ledger.proof.row_proofs import prove_rows_from
from sync.ledger.support.oidc import IdentityBook
from sync.ledger.support.passkeys import PasskeyBook
from sync.support.people import Refused, Role
from tests.integration.console.house import PASSWORD, Browser, House

OWN = "a token of their own"
OWN_HASH = hashlib.sha256(OWN.encode()).hexdigest()


def may_enter(browser: Browser, page: str) -> bool:
    answer = browser.get(page)
    return answer.status_code == 200 and answer.url == f"{browser.url}{page}"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people SET role = 'merchant' WHERE name = 'Ola'",
        "UPDATE people SET role = 'merchant', proof = NULL WHERE name = 'Ola'",
        (
            "UPDATE people SET role = 'merchant', proof = (SELECT proof FROM people WHERE name = 'Kari')"
            " WHERE name = 'Ola'"
        ),
        # Theirs is another's session from now on.
        "UPDATE sessions SET person_id = (SELECT id FROM people WHERE name = 'Kari')",
    ],
)
def test_given_a_role_that_somebody_wrote_then_it_opens_nothing(house: House, statement: str) -> None:
    house.enter(Role.MERCHANT, "Kari")
    ola = house.enter(Role.SUPPORT, "Ola")
    assert may_enter(ola, "/cards")
    assert not may_enter(ola, "/people")

    house.shop.by_hand(statement)

    assert not may_enter(ola, "/people")
    assert not may_enter(ola, "/cards")


@pytest.mark.parametrize("proof", ["NULL", "(SELECT proof FROM sessions)"])
def test_given_a_session_that_somebody_wrote_then_it_is_nobodys(house: House, proof: str) -> None:
    house.enter(Role.MERCHANT, "Kari")

    house.shop.by_hand(
        "INSERT INTO sessions (token_hash, person_id, began_at, seen_at, expires_at, device, proof)"
        f" SELECT '{OWN_HASH}', person_id, began_at, seen_at, expires_at, '', {proof} FROM sessions"
    )

    assert house.people.who(OWN) is None


def test_given_a_session_that_somebody_made_longer_then_it_has_ended(house: House) -> None:
    ola = house.enter(Role.SUPPORT, "Ola")

    house.shop.by_hand("UPDATE sessions SET expires_at = '2099-01-01 00:00:00.000000'")

    assert not may_enter(ola, "/cards")


def test_given_an_invitation_that_somebody_wrote_or_took_back_to_before_its_use_then_it_lets_nobody_in(
    house: House,
) -> None:
    token = house.people.invite(Role.READ_ONLY, "Kari")
    house.shop.by_hand("UPDATE invitations SET role = 'merchant'")
    assert house.people.invitation(token) is None
    with pytest.raises(Refused):
        house.people.join(token, "Mallory", PASSWORD, PASSWORD)

    used = house.people.invite(Role.MERCHANT, "Kari")
    house.people.join(used, "Ola", PASSWORD, PASSWORD)
    house.shop.by_hand("UPDATE invitations SET used_at = NULL")
    assert house.people.invitation(used) is None
    with pytest.raises(Refused):
        house.people.join(used, "Mallory", PASSWORD, PASSWORD)
    assert [person.name for person in house.people.book.list()] == ["Ola"]


def test_given_a_password_that_somebody_wrote_then_it_opens_nothing_and_a_new_link_from_the_terminal_does(
    house: House,
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    house.enter(Role.SUPPORT, "Ola")

    # Ola writes the hash of a password that he knows, which is his own, into Kari's row.
    house.shop.by_hand(
        "UPDATE people SET password_hash = (SELECT p.password_hash FROM people p WHERE p.name = 'Ola')"
        " WHERE name = 'Kari'"
    )

    kari = house.people.book.by_name("Kari")
    assert kari is not None
    assert kari.altered
    with pytest.raises(Refused, match="changed in the database"):
        house.people.sign_in("Kari", PASSWORD, "10.0.0.1")
    link = house.people.invite(Role.SUPPORT, "the terminal", kari)
    house.people.join(link, "", PASSWORD + "!", PASSWORD + "!")
    kari = house.people.book.by_name("Kari")
    assert kari is not None
    # The link says the role; what was written there is forgotten.
    assert (kari.altered, kari.role) == (False, "support")
    assert house.people.sign_in("Kari", PASSWORD + "!", "10.0.0.1")


def test_given_somebody_who_was_changed_then_the_page_says_so_and_makes_no_link_for_them(
    house: House,
) -> None:
    kari = house.enter(Role.MERCHANT, "Kari")
    house.enter(Role.SUPPORT, "Ola")
    house.shop.by_hand("UPDATE people SET role = 'merchant' WHERE name = 'Ola'")

    page = kari.get("/people").text

    assert "changed in the database, not by giftsync" in page
    assert "/join/" not in kari.post("/people", do="link", name="Ola").text
    kari.post("/people", do="remove", name="Ola")
    assert [person.name for person in house.people.book.list()] == ["Kari"]


def test_given_a_merchant_that_somebody_made_then_the_last_real_one_stays(house: House) -> None:
    house.enter(Role.MERCHANT, "Kari")
    house.enter(Role.SUPPORT, "Ola")
    house.shop.by_hand("UPDATE people SET role = 'merchant' WHERE name = 'Ola'")

    with pytest.raises(Refused, match="The last merchant stays"):
        house.people.remove("Kari", "Ola")


def test_given_a_passkey_or_an_identity_that_somebody_gave_to_another_person_then_it_is_nobodys(
    house: House,
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    house.enter(Role.SUPPORT, "Ola")
    ola = house.people.book.by_name("Ola")
    assert ola is not None
    shop = house.shop
    keys, identities = PasskeyBook(shop.engine, shop.vault), IdentityBook(shop.engine, shop.vault)
    keys.add(ola.id, "phone", "credential", b"public", 0, shop.clock())
    identities.bind("https://id.example.com", "ola", ola.id, shop.clock())
    found, bound = keys.find("credential"), identities.find("https://id.example.com", "ola")
    assert (found and found[1].name, bound and bound.person.name) == ("Ola", "Ola")

    for table in ("passkeys", "oidc_identities"):
        shop.by_hand(f"UPDATE {table} SET person_id = (SELECT id FROM people WHERE name = 'Kari')")

    assert keys.find("credential") is None
    assert identities.find("https://id.example.com", "ola") is None


def test_given_people_from_before_the_proofs_then_the_upgrade_proves_them_and_no_later_start_does(
    house: House,
) -> None:
    shop = house.shop
    ola = house.enter(Role.SUPPORT, "Ola")
    tables = ("people", "invitations", "sessions")
    shop.by_hand(*(f"UPDATE {table} SET proof = NULL" for table in tables))
    assert not may_enter(ola, "/cards")

    prove_rows_from("0031", shop.engine, shop.vault)
    assert not may_enter(ola, "/cards")

    prove_rows_from("0030", shop.engine, shop.vault)
    assert may_enter(ola, "/cards")
