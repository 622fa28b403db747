"""What callers of the API made and changed, written with the movement that it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, update

from sync.ledger.database.tables import api_requests, hub_entries, redemptions
from sync.model import AlreadyMade, Caller, Decision, InvariantBroken, NewRedemption

_INSERT_REDEMPTION = insert(redemptions)
_CHANGE_REDEMPTION = (
    update(redemptions)
    .where(redemptions.c.id == bindparam("which"), redemptions.c.card_id == bindparam("card"))
    .values(
        state=bindparam("state"),
        amount_minor=bindparam("amount_minor"),
        balance_after_minor=bindparam("balance_after_minor"),
        reason=func.coalesce(bindparam("new_reason"), redemptions.c.reason),
        ends_at=bindparam("ends_at"),
        confirmed=func.coalesce(bindparam("new_confirmed"), redemptions.c.confirmed),
        changed_at=bindparam("changed_at"),
    )
)
_ENTER_REDEMPTION = (
    update(redemptions)
    .where(
        redemptions.c.id == bindparam("which"),
        redemptions.c.card_id == bindparam("card"),
        redemptions.c.entered.is_(False),
    )
    .values(entered=True, proof=None)
)
_INSERT_ENTRY = insert(hub_entries)
_CLAIM_REQUEST = (
    update(api_requests)
    .where(
        api_requests.c.token_id == bindparam("of_token"),
        api_requests.c.key == bindparam("of_key"),
        api_requests.c.made.is_(None),
    )
    .values(made=bindparam("made_id"))
)


def write_hub(connection: Connection, card_id: int, decision: Decision, now: datetime) -> None:
    """Write the redemptions and entries of a decision. Raises AlreadyMade when a request has made its own."""
    balance = decision.card.balance_minor
    for new in decision.new_redemptions:
        insert_redemption(connection, new, redemption_row(card_id, new, balance, now))
    for redemption_id in decision.entered:
        entered = connection.execute(_ENTER_REDEMPTION, {"which": redemption_id, "card": card_id})
        if entered.rowcount != 1:
            raise InvariantBroken(f"redemption {redemption_id} is gone from the ledger")
    for change in decision.redemption_changes:
        connection.execute(
            _CHANGE_REDEMPTION,
            {
                "which": change.id,
                "card": card_id,
                "state": change.state.value,
                "amount_minor": change.amount_minor,
                "balance_after_minor": balance,
                "new_reason": change.reason or None,
                "ends_at": change.ends_at if change.state.is_open else None,
                "new_confirmed": change.confirmed,
                "changed_at": now,
            },
        )
    for entry in decision.entries:
        _claim(connection, entry.caller, entry.id)
        connection.execute(
            _INSERT_ENTRY,
            {
                "id": entry.id,
                "card_id": card_id,
                "redemption_id": entry.redemption_id,
                "kind": entry.kind.value,
                "amount_minor": entry.amount_minor,
                "balance_after_minor": balance,
                "words": entry.words,
                "with_cvc": entry.with_cvc,
                "token_id": entry.caller.token_id,
                "location": entry.caller.location,
                "reference": entry.caller.reference,
                "at": now,
            },
        )


def redemption_row(
    card_id: int, new: NewRedemption, balance_after_minor: int, now: datetime
) -> dict[str, Any]:
    """The columns of a redemption that is made now and whose movement is on the card."""
    made = new.redemption
    return {
        "id": made.id,
        "card_id": card_id,
        "kind": "redemption" if made.capture_until is None else "authorization",
        "mode": new.mode,
        "unconfirmed": made.unconfirmed.value,
        "state": made.state.value,
        "confirmed": new.confirmed,
        "asked_minor": made.amount_minor,
        "amount_minor": made.amount_minor,
        "balance_after_minor": balance_after_minor,
        "reason": "",
        "token_id": new.caller.token_id,
        "location": new.caller.location,
        "reference": new.caller.reference,
        "made_at": now,
        "ends_at": made.ends_at if made.state.is_open else None,
        "capture_until": made.capture_until,
        "changed_at": now,
        "entered": True,
        "proof": None,
    }


def insert_redemption(connection: Connection, new: NewRedemption, row: Mapping[str, Any]) -> None:
    """Insert it for its request. Raises AlreadyMade when the request has made something before."""
    _claim(connection, new.caller, new.redemption.id)
    connection.execute(_INSERT_REDEMPTION, row)


def _claim(connection: Connection, caller: Caller, made: str) -> None:
    """The request makes this and nothing else, however often it is tried."""
    if caller.key is None:
        return
    claim = {"of_token": caller.token_id, "of_key": caller.key, "made_id": made}
    if connection.execute(_CLAIM_REQUEST, claim).rowcount != 1:
        raise AlreadyMade(caller.key)
