"""A card whose rows somebody changed, built again from its history: the chained rows that are only added.

Balance and shadows are what movements and intents come to, each presence is the card that its newest identity
names, an intent has the newest state recorded for it, and one that was never planned is withdrawn. Where the
history is whole and the card's digest fits what it comes to, that is what giftsync wrote last: `proved`.
Otherwise it only says which card it is, and a person says what it is worth. Every presence is stale, so each
side is looked at before anything is planned. What the history itself lost, it lost: the audit goes on to say
so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product

from sqlalchemy import Connection, select, update

from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.ledger.cards import statements
from sync.ledger.cards.append import Appender
from sync.ledger.cards.digest import digested
from sync.ledger.cards.recorded import refuse_unproved
from sync.ledger.cards.rows import card_of, presence_columns, sums_of
from sync.ledger.cards.store import Lease, Store, asked_of, lease_params
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import cards, identities, intents, presences
from sync.ledger.proof.findings import OPEN, CardRows, Finding, FindingKind, Row
from sync.ledger.proof.pages import read_card
from sync.ledger.proof.verify import check_card, newest_identities, recompute
from sync.ledger.secrets.vault import Vault, VaultError
from sync.model import Card, Decision, Hold, IntentChange, IntentState, LeaseLost, Presence

#: What differs in the history itself; a head alone can be worked out from the last row.
_OF_HISTORY = (FindingKind.MISSING, FindingKind.ADDED, FindingKind.REORDERED, FindingKind.BALANCE_AFTER)
_CHAINED_TABLES = ("movements", "intents", "intent_states", "identities")


class NotRebuilt(Exception):
    """The history does not say enough; the message says what is missing. Nothing was changed."""


@dataclass(frozen=True)
class Rebuilt:
    """A card as its history has it."""

    card: Card
    #: It is what giftsync wrote last, to the last field.
    proved: bool
    #: What the balance row said, in minor units.
    before_minor: int
    found: tuple[Finding, ...]
    #: Markers of intents that giftsync never planned.
    forged: tuple[str, ...]
    #: By marker: the newest recorded state of intents whose row says another.
    states: dict[str, IntentState]
    #: By marker: how often intents took effect by their recorded states, whose row says less.
    landings: dict[str, int]


def differences(store: Store, card_id: int) -> list[Finding]:
    """What differs in one card's rows; empty when it is as giftsync wrote it."""
    with reading(store.engine) as connection:
        return list(check_card(read_card(connection, card_id), store.vault))


def rebuild(store: Store, card_id: int, currency: str) -> Rebuilt:
    """Work out the card that its history proves; `currency` is the link's. Raises NotRebuilt."""
    with reading(store.engine) as connection:
        rows = read_card(connection, card_id)
        if rows.card is None:
            raise NotRebuilt("its rows cannot be read")
        found = tuple(check_card(rows, store.vault))
        recorded = {one["marker"]: IntentState(one["state"]) for one in rows.intent_states}
        forged = tuple(i["marker"] for i in rows.intents if i["marker"] not in recorded)
        states = {
            i["marker"]: recorded[i["marker"]]
            for i in rows.intents
            if i["marker"] in recorded and recorded[i["marker"]].value != i["state"]
        }
        touched = [one for one in found if _is_of_history(one)]
        _check_identities(rows, touched)
        planned = [i for i in rows.intents if i["marker"] not in forged]
        landings = _landings(rows, planned)
        card = _card(connection, store.vault, rows, rows.card, planned, states)
        landed = [{**i, "landings": landings.get(i["marker"], i["landings"])} for i in planned]
        restored = sums_of(landed, rows.redemptions)
        written = None
        for asked in () if touched else (card.chain.asked, restored):
            guess = replace(card, chain=replace(card.chain, asked=asked))
            written = written or _as_written(guess, rows.card["digest"], currency, store.vault)
    card = written or replace(card, currency=currency)
    card = replace(card, presences=tuple(replace(p, stale=True) for p in card.presences))
    return Rebuilt(card, written is not None, rows.card["balance_minor"], found, forged, states, landings)


def _landings(rows: CardRows, planned: Sequence[Row]) -> dict[str, int]:
    applied = Counter(s["marker"] for s in rows.intent_states if s["state"] == IntentState.APPLIED.value)
    return {i["marker"]: applied[i["marker"]] for i in planned if applied[i["marker"]] > i["landings"]}


def _is_of_history(one: Finding) -> bool:
    changed = one.kind is FindingKind.CHANGED and one.table in _CHAINED_TABLES
    return changed or one.kind in _OF_HISTORY


def _check_identities(rows: CardRows, touched: Sequence[Finding]) -> None:
    """Raises NotRebuilt where the rows leave it open which card it is on a side."""
    said = newest_identities(rows)
    gone = said.keys() - {p["side"] for p in rows.presences}
    if gone:
        raise NotRebuilt(f"the row that says what it is on {' and '.join(sorted(gone))} is gone")
    names = ("native_id", "serial_index", "last_chars", "born")
    differ = any(
        p["side"] not in said or any(p[name] != said[p["side"]][name] for name in names)
        for p in rows.presences
    )
    if (touched and differ) or any(one.table == "identities" for one in touched):
        raise NotRebuilt("its history was changed, and does not say which card it is on each side")


def _as_written(card: Card, digest: str, currency: str, vault: Vault) -> Card | None:
    """The card that the digest was made of, if it is this one or one with little of it changed."""
    for guess in _guesses(card, currency):
        if digested(guess, card.chain.seq, card.chain.head, vault).chain.digest == digest:
            return guess
    return None


def _guesses(card: Card, currency: str) -> Iterator[Card]:
    """The card, then it with other values of what the history does not say."""
    yield card
    yield replace(card, currency=currency)
    yield replace(card, held=not card.held)
    count = len(card.presences)
    statuses = tuple(CardStatus)
    for status, *shown in product(statuses, repeat=count + 1):
        yield _with(replace(card, status=status), "shadow_status", shown)
    days = tuple({card.expires_on, None, *(p.shadow_expires_on for p in card.presences)})
    for day, *until in product(days, repeat=count + 1):
        yield _with(replace(card, expires_on=day), "shadow_expires_on", until)
    for holds in product((None, *Hold), repeat=count):
        yield _with(card, "hold", holds)
    for stale in product((False, True), repeat=count):
        yield _with(card, "stale", stale)


def _with(card: Card, name: str, values: Sequence[object]) -> Card:
    """The card with one field of its presences, in their order."""
    changed: list[Presence] = [
        replace(p, **{name: value})  # type: ignore[arg-type]
        for p, value in zip(card.presences, values, strict=True)
    ]
    return replace(card, presences=tuple(changed))


def _card(
    connection: Connection,
    vault: Vault,
    rows: CardRows,
    row: Row,
    planned: Sequence[Row],
    states: dict[str, IntentState],
) -> Card:
    try:
        expected = recompute(replace(rows, intents=list(planned)))
        said = newest_identities(rows)
        presence_rows = [
            {
                **_readable(p),
                **_identity(connection, vault, p, said[p["side"]]),
                "shadow_minor": expected.shadows[p["side"]],
            }
            for p in rows.presences
        ]
        now = [{**i, "state": states.get(i["marker"], IntentState(i["state"])).value} for i in planned]
        still_open = [i for i in now if i["state"] in OPEN]
        chained = len(rows.movements) + len(rows.intent_states) + len(rows.identities)
        seq, head = _end(rows, row, vault)
        as_proved = {
            "balance_minor": expected.balance_minor,
            "chain_seq": seq,
            "chain_head": head,
            "chain_lost": seq - chained,
        }
        taken = [r for r in rows.redemptions if r["ends_at"] is not None]
        asked = sums_of(planned, rows.redemptions)
        return card_of({**_readable(row), **as_proved}, presence_rows, still_open, (), taken, asked, vault)
    except (KeyError, ValueError, TypeError, VaultError):
        raise NotRebuilt("a row holds what giftsync never writes, or lacks its number or history") from None


def _end(rows: CardRows, row: Row, vault: Vault) -> tuple[int, str]:
    """The end of the chain: after the last row that is there, unless the card's row knows of later ones.

    A row that others added beyond it counts, since its place is taken; what lies between is then missed.
    """
    last = max((*rows.movements, *rows.intent_states, *rows.identities), key=_seq, default=None)
    if last is None or _seq(last) < row["chain_seq"]:
        return row["chain_seq"], row["chain_head"]
    return _seq(last), vault.head(last["chain_hash"])


def _seq(row: Row) -> int:
    return int(row["chain_seq"])


def _readable(row: Row) -> Row:
    """The row with an ordinary status or hold where it has none that giftsync writes."""
    changes: dict[str, object] = {}
    for name in ("status", "shadow_status"):
        if name in row and row[name] not in set(CardStatus):
            changes[name] = CardStatus.ACTIVE.value
    if row.get("hold") not in (None, *Hold):
        changes["hold"] = None
    return {**row, **changes}


def _identity(connection: Connection, vault: Vault, p: Row, said: Row) -> dict[str, object]:
    """The columns that say which card the presence is, with its number from wherever that stands."""
    index = said["serial_index"]
    same = select(presences.c.serial_sealed).where(presences.c.serial_index == index)
    sealed = [p["serial_sealed"], *connection.execute(same).scalars()] if index is not None else []
    right = next((one for one in sealed if one is not None and _index(vault, one) == index), None)
    if index is not None and right is None:
        raise NotRebuilt(f"its number on {p['side']} is not in the ledger any more")
    return {
        "native_id": said["native_id"],
        "last_chars": said["last_chars"],
        "born": said["born"],
        "serial_index": index,
        "serial_sealed": right,
    }


def _index(vault: Vault, sealed: bytes) -> str | None:
    try:
        return vault.index(vault.open(sealed))
    except VaultError:
        return None


# --- writing it ---------------------------------------------------------------------------------------------


def commit_rebuilt(store: Store, lease: Lease, rebuilt: Rebuilt, decision: Decision, now: datetime) -> None:
    """Write the rebuilt card and what a person decided about it, whole or not at all. Raises LeaseLost."""
    with store.engine.begin() as connection:
        card = _put(connection, store, lease, rebuilt, now)
        store.write(connection, lease, card, decision, now, None)


def _put(connection: Connection, store: Store, lease: Lease, rebuilt: Rebuilt, now: datetime) -> Card:
    """Make the rows say what the rebuilt card says."""
    card = rebuilt.card
    taken = connection.execute(
        update(cards)
        .where(statements.LEASED, cards.c.version == card.version)
        .values(
            currency=card.currency,
            balance_minor=card.balance_minor,
            status=card.status.value,
            expires_on=card.expires_on,
            held=card.held,
            chain_lost=card.chain.lost,
        ),
        lease_params(lease),
    )
    if taken.rowcount != 1:
        raise LeaseLost
    for p in card.presences:
        _let_go(connection, p.id or 0, p.side, "native_id", p.native_id)
        index = None if p.serial is None else store.vault.index(p.serial)
        _let_go(connection, p.id or 0, p.side, "serial_index", index)
        connection.execute(statements.UPDATE_PRESENCE, {"presence_id": p.id, **presence_columns(p)})
        connection.execute(
            statements.UPDATE_SERIAL, {"presence_id": p.id, **_serial_columns(store.vault, index, p.serial)}
        )
    for marker, state in rebuilt.states.items():
        connection.execute(update(intents).where(intents.c.marker == marker).values(state=state.value))
    for marker, times in rebuilt.landings.items():
        connection.execute(update(intents).where(intents.c.marker == marker).values(landings=times))
    append = Appender(
        connection, store.vault, card.id or 0, lease.fencing, now, None, card.chain.seq, card.chain.head
    )
    for marker in rebuilt.forged:
        append.intent_change(IntentChange(marker, IntentState.WITHDRAWN, "giftsync never planned it"))
    refuse_unproved(connection, store.vault, lease.card_id, now)
    card = replace(card, chain=replace(card.chain, asked=asked_of(connection, lease.card_id)))
    card = digested(card, append.seq, append.head, store.vault)
    append.close(card.chain.digest)
    return card


def _serial_columns(vault: Vault, index: str | None, serial: Serial | None) -> dict[str, object]:
    return {"serial_index": index, "serial_sealed": None if serial is None else vault.seal(serial)}


def _let_go(connection: Connection, presence_id: int, side: str, name: str, value: str | None) -> None:
    """Another card's row may hold what is this one's: it gets what this one's row held in its place.

    That one stays as wrong as it was, and held, until it is rebuilt itself. Raises NotRebuilt when its own
    history says that it is right.
    """
    columns = [name, "serial_sealed"] if name == "serial_index" else [name]
    held = (
        select(presences).where(
            presences.c.side == side, presences.c[name] == value, presences.c.id != presence_id
        )
        if value is not None
        else None
    )
    other = None if held is None else connection.execute(held).mappings().one_or_none()
    if other is None:
        return
    newest = (
        select(identities.c[name])
        .where(identities.c.card_id == other["card_id"], identities.c.side == side)
        .order_by(identities.c.chain_seq.desc())
        .limit(1)
    )
    if connection.execute(newest).scalar() == value:
        raise NotRebuilt(f"the history of card {other['card_id']} says that it is the same card on {side}")
    ours = connection.execute(select(presences).where(presences.c.id == presence_id)).mappings().one()
    empty = dict.fromkeys(columns)
    for row_id, values in (
        (other["id"], empty),
        (presence_id, empty),
        (other["id"], {column: ours[column] for column in columns}),
    ):
        connection.execute(update(presences).where(presences.c.id == row_id).values(values))
