"""A ledger that gets a new key: everything opens under it, and what somebody changed stays found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, LargeBinary, update

from connectors.api.tokens import AccessToken
from mappings.contact import Contact
from mappings.serials import Serial
from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.rows import read_rows, write_rows
from sync.ledger.database.tables import metadata, presences
from sync.ledger.hub.events import Events, Webhook
from sync.ledger.hub.tokens import ApiTokens
from sync.ledger.incoming.origins import keep_origin, origin_of
from sync.ledger.proof.pages import read_pages
from sync.ledger.proof.rotation import Rotation
from sync.ledger.secrets.tokens import TokenStore
from sync.ledger.secrets.vault import KEY_BYTES, Vault, VaultError, make_key
from sync.support.audit import audit
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop
from tests.support import Clock

OLD = bytes(range(KEY_BYTES))
OTHER, WAITING = "5000600070008000", "9000800070006000"
KARI = Contact(email="kari@example.com")
#: Words for what depends on a key, and columns that are called so and do not.
KEYED = ("sealed", "index", "hash", "digest", "fingerprint", "head", "proof", "note", "holder", "word")
NOT_KEYED = {
    ("people", "password_hash"),
    ("invitations", "token_hash"),
    ("sessions", "token_hash"),
    ("browsers", "token_hash"),
    ("privacy_requests", "digest"),
    ("probes", "notes"),
    ("hub_entries", "words"),
    # Of entries that the side lists, and of no number.
    ("presences", "book_digest"),
}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'rotated.db'}")
    upgrade(engine)
    yield engine
    engine.dispose()


def rotate(shop: Shop, target: Engine, keys: tuple[bytes, ...] = (OLD,)) -> tuple[Vault, tuple[bytes, ...]]:
    """Write the ledger under a new key into another database; `keys` are those until now."""
    keys = (make_key(), *keys)
    new = Vault(*keys)
    rotation = Rotation(shop.vault, new)
    with reading(shop.engine) as connection, target.begin() as writing:
        write_rows(writing, rotation.pages(read_rows(connection)))
        for page in read_pages(shop.engine):
            rotation.rehash(writing, page)
    return new, keys


def rotated(shop: Shop, engine: Engine, vault: Vault) -> Shop:
    """The same merchant on the ledger with the new key."""
    other = Shop(engine, vault, shop.clock)
    for name, side in shop.sides.items():
        other.sides[name] = side
    return other


def findings(shop: Shop) -> list[str]:
    return [one.summary for one in audit(shop.engine, shop.vault, shop.clock)]


def kinds(shop: Shop) -> set[tuple[str, int | None, str | None]]:
    """What is wrong, and where; what a row said before only the key can tell that wrote it."""
    found = audit(shop.engine, shop.vault, shop.clock)
    tables = {"intents": "intent_states"}
    return {(one.kind.value, one.card_id, tables.get(one.table, one.table)) for one in found}


def test_given_every_column_that_a_key_goes_into_then_the_rotation_knows_it(vault: Vault) -> None:
    known = Rotation(vault, vault).columns

    named = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if any(word in column.name for word in KEYED)
    }
    assert {one for one in named - NOT_KEYED if one[1] not in known.get(one[0], ())} == set()
    binary = {
        (t.name, c.name) for t in metadata.sorted_tables for c in t.columns if isinstance(c.type, LargeBinary)
    }
    assert {one for one in binary if one[1] not in known.get(one[0], ())} == {("passkeys", "public_key")}


def test_given_a_new_key_then_everything_opens_under_it_and_nothing_under_the_old_one(
    shop: Shop, target: Engine, clock: Clock
) -> None:
    shop.in_step(10_000)
    shop.in_step(5_000, OTHER)
    shop.move(FLOW, -1_000)
    shop.sides[FLOW].set(shop.native(FLOW), expires_on=date(2027, 6, 30))
    shop.sync()
    with shop.engine.begin() as connection:
        connection.execute(update(presences).values(contact_sealed=shop.vault.seal_contact(KARI)))
    waiting = shop.sell(FLOW, 3_000, WAITING)
    shop.arrive(FLOW, waiting, sold_here=True, details={"shipping_name": "Kari Nordmann"})
    with shop.engine.begin() as connection:
        sold = {"order": "#1007", "shipping_name": "Ola Nordmann"}
        keep_origin(connection, 1, shop.vault.seal_details(sold))
    given_to = "shop.example.com"
    tokens = TokenStore(shop.engine, shop.vault, SHOPIFY, "install", given_to)
    tokens.save(AccessToken("shpat_1", (), clock(), refresh="refresh_1"))
    _, secret = ApiTokens(shop.engine, shop.vault).add("till", ["redeem"], (), 60, clock())
    Events(shop.engine, shop.vault).add(Webhook("w1", "https://example.com/x", "secret-1", (), clock()))
    assert findings(shop) == []

    new, _ = rotate(shop, target)

    after = rotated(shop, target, new)
    assert findings(after) == []
    kept = TokenStore(target, new, SHOPIFY, "install", given_to).load()
    assert kept is not None
    assert (kept.access, kept.refresh) == ("shpat_1", "refresh_1")
    assert ApiTokens(target, new).open(secret, clock()) is not None
    assert [one.url for one in Events(target, new).webhooks()] == ["https://example.com/x"]
    (arrival,) = after.intake.due_arrivals(clock(), 10)
    assert arrival.card.serial == Serial(WAITING)
    assert new.open_contact(after.row("presences", card_id=2, side=FLOW)["contact_sealed"]) == KARI
    assert arrival.details["shipping_name"] == "Kari Nordmann"
    bought = origin_of(target, new, 1)
    assert bought is not None
    assert bought.holder == "Ola Nordmann"
    assert sorted(row["word"] for row in after.rows("origin_names")) == new.name_words("Ola Nordmann")
    for row in after.rows("presences"):
        with pytest.raises(VaultError):
            shop.vault.open(row["serial_sealed"])
    keyed = Rotation(shop.vault, new).columns
    for table, columns in keyed.items():
        was, now_is = shop.rows(table), after.rows(table)
        for name in columns - {"decided", "details", "key", "word", "card_id"}:
            old = {row[name] for row in was} - {None, "", b""}
            assert old & {row[name] for row in now_is} == set(), (table, name)
    # It goes on, and finds the cards that it has.
    after.move(SHOPIFY, -2_000)
    after.sync()
    assert after.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert after.shown(WAITING) == {FLOW: 3_000, SHOPIFY: 3_000}
    assert findings(after) == []


def test_given_a_second_new_key_then_the_first_ledger_s_cards_are_still_found(
    shop: Shop, target: Engine, tmp_path: Path
) -> None:
    shop.in_step(10_000)
    clock = shop.clock
    _, secret = ApiTokens(shop.engine, shop.vault).add("till", ["redeem"], (), 60, clock())
    ref = shop.vault.card_ref(1)
    cvc = shop.vault.cvc(Serial(SERIAL))
    first, keys = rotate(shop, target)
    one = rotated(shop, target, first)
    one.in_step(5_000, OTHER)
    engine = open_engine(f"sqlite:///{tmp_path / 'again.db'}")
    upgrade(engine)

    newest, _ = rotate(one, engine, keys)

    again = rotated(one, engine, newest)
    assert findings(again) == []
    again.move(FLOW, -1_000)
    again.move(FLOW, -1_000, OTHER)
    again.sync()
    assert [again.shown(), again.shown(OTHER)] == [
        {FLOW: 9_000, SHOPIFY: 9_000},
        {FLOW: 4_000, SHOPIFY: 4_000},
    ]
    # What customers and callers hold goes on.
    assert (newest.card_of(ref), newest.card_ref(1), newest.cvc(Serial(SERIAL))) == (1, ref, cvc)
    assert ApiTokens(engine, newest).open(secret, clock()) is not None
    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cards SET balance_minor = 90000 WHERE id = 1",
        "UPDATE movements SET amount_minor = 90000 WHERE card_id = 1",
        "UPDATE intents SET amount_minor = 90000 WHERE card_id = 1 AND kind = 'create'",
        "UPDATE cards SET digest = 'x' WHERE id = 1",
        "UPDATE cards SET chain_head = 'x' WHERE id = 1",
        "UPDATE presences SET serial_index = 'x' WHERE card_id = 1 AND side = 'flow'",
        "UPDATE presences SET serial_sealed = NULL WHERE card_id = 1 AND side = 'flow'",
        "DELETE FROM intent_states WHERE card_id = 1 AND state = 'sent'",
        "UPDATE identities SET native_id = 'x' WHERE card_id = 1",
        "UPDATE movements SET at = '2020-01-01 00:00:00.000000' WHERE card_id = 1",
    ],
)
def test_given_a_card_that_somebody_changed_then_the_new_key_makes_it_no_better(
    shop: Shop, target: Engine, statement: str
) -> None:
    shop.in_step(10_000)
    shop.in_step(5_000, OTHER)
    shop.by_hand(statement)
    before = kinds(shop)
    assert before

    after = rotated(shop, target, rotate(shop, target)[0])

    assert kinds(after) == before
