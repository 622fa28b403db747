"""The audit's sums and chain, on rows without a database; and a property: one touched row is always found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.serials import Serial
from sync.ledger.cards import chain
from sync.ledger.cards.digest import digested
from sync.ledger.proof.findings import CardRows, Finding, FindingKind, money
from sync.ledger.proof.verify import card_as_read, check_card, recompute
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.support.audit import Audit, SideTotals, Totals
from tests.support import STARTED_AT

VAULT = Vault(bytes(range(KEY_BYTES)))
#: Of an intent that nothing has happened to.
DETAILS: dict[str, Any] = {
    **dict.fromkeys(
        ("status", "expires_on", "status_before", "expires_before", "brand", "not_before", "look_at")
    ),
    **dict.fromkeys(("landings", "unclear_reads", "postponed"), 0),
    "note": "",
    "progress": {},
    "doubted": False,
    "refusal": None,
}


class Book:
    """Writes a card's rows as the store does."""

    def __init__(self) -> None:
        self.rows = CardRows(
            {
                "id": 1,
                "currency": "NOK",
                "balance_minor": 0,
                "chain_seq": 0,
                "chain_head": "",
                "digest": "",
                "chain_lost": 0,
                "behind": False,
                "status": "active",
                "expires_on": None,
                "version": 0,
                "held": False,
                "due_at": None,
                "lease_owner": None,
            }
        )
        self._head = ""
        for number, side in enumerate(("a", "b")):
            serial = Serial(f"100020003000400{number}")
            named = {"native_id": f"{side}-1", "serial_index": VAULT.index(serial), "last_chars": "4000"} | {
                "born": True
            }
            self.rows.presences.append(
                {
                    "card_id": 1,
                    "id": number,
                    "side": side,
                    **named,
                    "serial_sealed": VAULT.seal(serial),
                    "contact_sealed": None,
                    "shadow_minor": 0,
                    "shadow_status": "active",
                    "shadow_expires_on": None,
                    "stale": False,
                    "hold": None,
                    "refusal": None,
                    "refusals": 0,
                    "unreadable": 0,
                    "book_cursor": None,
                    "book_digest": None,
                    "needs_cvc": False,
                    "brand": None,
                    "note": "",
                }
            )
            self.rows.identities.append(self._append(chain.IDENTITY_FIELDS, {"side": side, **named}))

    @property
    def card(self) -> dict[str, Any]:
        return self.rows.card  # type: ignore[return-value]

    @property
    def presences(self) -> list[dict[str, Any]]:
        return self.rows.presences  # type: ignore[return-value]

    def _append(self, fields: tuple[str, ...], row: dict[str, Any], **covered: Any) -> dict[str, Any]:
        self.card["chain_seq"] += 1
        row |= {"card_id": 1, "id": 1, "at": STARTED_AT, "chain_seq": self.card["chain_seq"]}
        row["chain_hash"] = VAULT.chain(self._head, chain.canonical({**row, **covered}, fields))
        self._head = self.card["chain_head"] = VAULT.head(row["chain_hash"])
        return row

    def _digest(self) -> Book:
        card = card_as_read(self.rows, VAULT)
        self.card["digest"] = digested(card, self.card["chain_seq"], self._head, VAULT).chain.digest
        return self

    def move(self, kind: str, side: str | None, amount_minor: int, shadow_minor: int) -> Book:
        self.card["balance_minor"] += amount_minor
        for p in self.presences:
            p["shadow_minor"] += shadow_minor if p["side"] == side else 0
        row = {
            "side": side,
            "kind": kind,
            "amount_minor": amount_minor,
            "shadow_delta_minor": shadow_minor,
            "balance_after_minor": self.card["balance_minor"],
            "evidence": {},
            "run_id": None,
        }
        self.rows.movements.append(self._append(chain.MOVEMENT_FIELDS, row))
        return self._digest()

    def intent(self, side: str, kind: str, amount_minor: int, *states: str) -> Book:
        marker = f"gs-{len(self.rows.intents)}"
        intent = {"marker": marker, "card_id": 1, "side": side, "kind": kind, "amount_minor": amount_minor}
        self.rows.intents.append(intent | DETAILS | {"state": states[-1], "sequence": len(self.rows.intents)})
        taken_back = {"refused", "withdrawn"} & set(states)
        for p in self.presences:
            p["shadow_minor"] += amount_minor if p["side"] == side and not taken_back else 0
        covered = {f"intent_{name}": intent[name] for name in ("side", "kind", "amount_minor")}
        for state in states:
            row = {"marker": marker, "state": state, "reason": "", "fencing": 1}
            self.rows.intent_states.append(self._append(chain.STATE_FIELDS, row, **covered))
        return self._digest()


def a_book() -> Book:
    book = Book().move("opening", "a", 100, 100).intent("b", "create", 100, "planned", "sent", "applied")
    book.move("observed", "a", -30, -30).intent("b", "debit", -30, "planned", "sent", "refused")
    book.move("observed", "b", -90, -90).move("write_off", None, 20, 0)
    return book.intent("a", "debit", -70, "planned").intent("b", "debit", -10, "planned", "sent", "applied")


def findings(rows: CardRows) -> list[Finding]:
    return list(check_card(rows, VAULT))


def test_given_a_card_as_the_store_writes_it_then_nothing_is_found() -> None:
    book = a_book()

    assert findings(book.rows) == []
    assert recompute(book.rows).balance_minor == 0
    assert recompute(book.rows).shadows == {"a": 0, "b": 0}


def test_given_a_promise_that_was_taken_back_and_landed_after_all_then_it_counts_once() -> None:
    book = Book().move("opening", "a", 100, 100).move("adopted", "b", 0, 100)
    book.intent("b", "debit", -30, "planned", "sent", "refused", "applied").move("echo", "b", 0, -30)

    assert recompute(book.rows).shadows == {"a": 100, "b": 70}
    assert [f.kind for f in findings(book.rows)] == [FindingKind.OUT_OF_STEP]


Change = Callable[[CardRows, Any], str]


def _row(rows: CardRows, pick: int) -> dict[str, Any]:
    both = [*rows.movements, *rows.intent_states, *rows.identities]
    return both[pick % len(both)]  # type: ignore[return-value]


def _table(rows: CardRows, row: dict[str, Any]) -> list[Any]:
    if "native_id" in row:
        return rows.identities
    return rows.movements if "amount_minor" in row else rows.intent_states


def _alter(rows: CardRows, pick: int) -> None:
    row = _row(rows, pick)
    name = sorted(set(row) - {"id", "card_id", "chain_seq"})[pick % (len(row) - 3)]
    old = row[name]
    row[name] = old + 1 if isinstance(old, int) else f"{old}!" if name != "at" else old.replace(year=2001)
    if name == "evidence":
        row[name] = {"forged": True}


def _delete(rows: CardRows, pick: int) -> None:
    row = _row(rows, pick)
    _table(rows, row).remove(row)


def _swap(rows: CardRows, pick: int) -> None:
    one, other = _row(rows, pick), _row(rows, pick + 1)
    one["chain_seq"], other["chain_seq"] = other["chain_seq"], one["chain_seq"]
    rows.movements.sort(key=lambda m: m["chain_seq"])
    rows.intent_states.sort(key=lambda s: s["chain_seq"])
    rows.identities.sort(key=lambda i: i["chain_seq"])


def _forge(rows: CardRows, pick: int) -> None:
    row = copy.deepcopy(_row(rows, pick))
    row["chain_seq"] = rows.card["chain_seq"] + 1  # type: ignore[index]
    _table(rows, row).append(row)


@given(st.integers(0, 10_000), st.sampled_from([_alter, _delete, _swap, _forge]))
def test_given_any_one_change_to_the_rows_then_it_is_found(pick: int, change: Any) -> None:
    rows = a_book().rows
    change(rows, pick)

    assert {f.kind for f in findings(rows)} & {
        FindingKind.CHANGED,
        FindingKind.MISSING,
        FindingKind.ADDED,
        FindingKind.REORDERED,
    }
    assert {f.card_id for f in findings(rows)} == {1}


def test_given_a_changed_row_then_the_rows_after_it_are_not_blamed() -> None:
    rows = a_book().rows
    rows.movements[1]["amount_minor"] = -29  # type: ignore[index]

    changed = [f for f in findings(rows) if f.kind is FindingKind.CHANGED]

    assert [f.row for f in changed] == ["chain_seq 7"]


def test_given_a_long_card_and_another_key_then_every_row_is_named_in_bounded_time() -> None:
    book = Book().move("opening", "a", 100, 100).move("adopted", "b", 0, 100)
    for _ in range(200):
        book.move("observed", "a", 0, 0)

    named = list(check_card(book.rows, Vault(bytes(KEY_BYTES))))

    assert len(named) == 205
    assert named[0].row == "chain_head"


def test_given_a_forged_currency_then_money_is_still_shown() -> None:
    assert money(150, "NOK").replace("\u202f", " ") == "1.50 NOK"
    assert money(150, "kr") == "150 'kr' in minor units"


@pytest.mark.parametrize("kind", FindingKind)
def test_given_a_kind_of_finding_then_only_what_sides_show_is_no_discrepancy(kind: FindingKind) -> None:
    live = {FindingKind.MOVED_SINCE, FindingKind.ABSENT, FindingKind.UNREAD}

    assert kind.is_discrepancy is (kind not in live)


def test_given_an_audit_that_was_not_read_to_its_end_then_it_is_no_proof(clock: Any) -> None:
    assert Audit(None, VAULT, clock, {}).exit_code == 2  # type: ignore[arg-type]


def test_given_totals_then_the_parts_come_to_the_sum() -> None:
    totals = Totals(1, 100, 20, -50, 5, -15, -10, hub_minor=50)
    totals.side("a").shadow_minor += 50

    assert totals.sum_minor == totals.hub_minor == 50
    assert totals.sides == {"a": SideTotals(shadow_minor=50)}
