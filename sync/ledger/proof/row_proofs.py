"""Which tables have rows with a proof of their own, and what becomes of rows from before their proofs."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Engine, Table, and_, bindparam, exists, select, update

from sync.ledger.cards.assignments import ASSIGNMENT_PROOF
from sync.ledger.cards.changes import CARD_CHANGE_PROOF
from sync.ledger.cards.creating import MARK_PROOF, PROVED_MARKS
from sync.ledger.cards.row_proof import RowProof
from sync.ledger.database.tables import import_rows, imports, marks, metadata
from sync.ledger.hub.tokens import TOKEN_PROOF
from sync.ledger.imports.rows import IMPORT_ROW_PROOF, Imports, queued_imports
from sync.ledger.secrets.vault import Vault
from sync.ledger.support.oidc import IDENTITY_PROOF
from sync.ledger.support.passkeys import PASSKEY_PROOF
from sync.ledger.support.people import INVITATION_PROOF, PERSON_PROOF, SESSION_PROOF

#: By table. What is recorded for a card is proved with the card.
ROW_PROOFS: Final = {
    "api_tokens": TOKEN_PROOF,
    "people": PERSON_PROOF,
    "invitations": INVITATION_PROOF,
    "sessions": SESSION_PROOF,
    "passkeys": PASSKEY_PROOF,
    "oidc_identities": IDENTITY_PROOF,
    "assignments": ASSIGNMENT_PROOF,
    "import_rows": IMPORT_ROW_PROOF,
    "card_changes": CARD_CHANGE_PROOF,
    "marks": MARK_PROOF,
}
#: The migration that gave them their proofs. Tokens from before theirs open nothing.
_SINCE: Final = {name: "0031" for name in ROW_PROOFS if name != "api_tokens"} | {
    "card_changes": "0032",
    "marks": "0032",
}
_PAGE: Final = 2_000


def prove_rows_from(before: str | None, engine: Engine, vault: Vault) -> None:
    """Prove the rows of a ledger that was just brought to this release; `before` is its migration until then.

    Only then: a row without a proof in a ledger that has proofs was not written by giftsync.
    """
    if before is None:
        return
    for name, since in _SINCE.items():
        if before < since:
            _prove(engine, metadata.tables[name], ROW_PROOFS[name], vault)
    if before < _SINCE["import_rows"]:
        for plan in queued_imports(engine):
            Imports(engine, vault).approve(plan, plan.queued_at or plan.created_at)


def _prove(engine: Engine, table: Table, proof: RowProof, vault: Vault) -> None:
    key = list(table.primary_key.columns)
    which: ColumnElement[bool] = table.c.proof.is_(None)
    if table is marks:
        which = and_(which, marks.c.name.in_(PROVED_MARKS))
    if table is import_rows:
        # Of what is done there may be millions, and nothing comes of it any more.
        is_open = exists().where(imports.c.id == import_rows.c.import_id, imports.c.state != "done")
        which = and_(which, import_rows.c.state == "planned", is_open)
    change = update(table).where(*(column == bindparam(f"of_{column.name}") for column in key))
    change = change.values(proof=bindparam("proved"))
    while True:
        with engine.begin() as connection:
            rows = connection.execute(select(table).where(which).limit(_PAGE)).mappings().all()
            if not rows:
                return
            proved = [
                {**{f"of_{column.name}": row[column.name] for column in key}, "proved": proof.of(row, vault)}
                for row in rows
            ]
            connection.execute(change, proved)
