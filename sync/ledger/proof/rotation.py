"""A ledger's rows under a new key: what was sealed is sealed anew, what was hashed is hashed anew.

What proved before proves after, and what did not does not: a row that somebody changed keeps its old hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, bindparam, update

from sync.ledger.cards.decided import is_as_decided, with_proof
from sync.ledger.cards.digest import digested
from sync.ledger.cards.recorded import RECORDED_PROOF
from sync.ledger.database import tables
from sync.ledger.database.rows import Page
from sync.ledger.hub.events import SECRET_PURPOSE, URL_PURPOSE
from sync.ledger.proof.findings import CardRows
from sync.ledger.proof.row_proofs import ROW_PROOFS
from sync.ledger.proof.tamper import Rehashed, rehashed
from sync.ledger.proof.verify import card_as_read
from sync.ledger.secrets.tokens import purpose_of
from sync.ledger.secrets.vault import Vault, VaultError

#: A value under the old key, and the row that it is in.
_Change = Callable[[Any, Mapping[str, Any]], Any]


class Rotation:
    """From one key to the next. `new` has the old one among its former keys."""

    def __init__(self, old: Vault, new: Vault) -> None:
        self._old, self._new = old, new
        serial: _Change = lambda value, _: new.seal(old.open(value))  # noqa: E731
        contact: _Change = lambda value, _: new.seal_contact(old.open_contact(value))  # noqa: E731
        words: _Change = lambda value, _: new.seal_words(old.open_words(value))  # noqa: E731
        index: _Change = lambda value, _: new.wrap_index(value)  # noqa: E731
        print_: _Change = lambda value, _: new.wrap_fingerprint(value)  # noqa: E731
        #: What is not on this list does not depend on the key.
        self._changes: dict[str, dict[str, _Change]] = {
            "presences": {
                "serial_index": index,
                "serial_sealed": serial,
                "note": words,
                "contact_sealed": contact,
            },
            "intents": {"note": words},
            "traces": {"serial_index": index},
            "identities": {"serial_index": index},
            "conflicts": {"decided": self._decided},
            "arrivals": {
                "serial_index": index,
                "serial_sealed": serial,
                "details": lambda value, _: new.seal_details(old.open_details(value)),
                "contact_sealed": contact,
            },
            "pool_numbers": {"serial_index": index, "serial_sealed": serial},
            "import_rows": {"serial_index": index, "serial_sealed": serial},
            "assignments": {"serial_index": index, "serial_sealed": serial, "note": words},
            "origins": {"holder": words},
            "receipt_lines": {
                "serial_index": index,
                "buyer_index": lambda value, _: new.wrap_contact_index(value),
            },
            "tokens": {
                "access_sealed": self._secret(lambda row: purpose_of("access", row)),
                "refresh_sealed": self._secret(lambda row: purpose_of("refresh", row)),
            },
            "api_tokens": {"secret_hash": print_},
            "api_requests": {"fingerprint": print_},
            "api_webhooks": {
                "url_sealed": self._secret(lambda _: URL_PURPOSE),
                "secret_sealed": self._secret(lambda _: SECRET_PURPOSE),
            },
            "hints_seen": {"key": self._hint},
        }

    @property
    def columns(self) -> Mapping[str, frozenset[str]]:
        """What differs under the new key, by table."""
        chained = dict.fromkeys(("movements", "intent_states", "identities"), frozenset({"chain_hash"}))
        own = {name: frozenset(changes) for name, changes in self._changes.items()}
        names = {"origin_names": frozenset({"word", "card_id"})}
        for name in ROW_PROOFS:
            own[name] = own.get(name, frozenset()) | {"proof"}
        more = names | {
            "cards": frozenset({"chain_head", "digest"}),
            "redemptions": frozenset({"proof"}),
            **chained,
        }
        return {name: own.get(name, frozenset()) | more.get(name, frozenset()) for name in {*own, *more}}

    def pages(self, pages: Iterable[Page]) -> Iterator[Page]:
        """The rows as they are to be written; `rehash` does the chains afterwards."""
        for page in pages:
            if page.table == "origin_names":
                continue  # They follow from the names in `origins`.
            changes = self._changes.get(page.table, {})
            yield self._page(page, changes) if changes or page.table in ROW_PROOFS else page
            if page.table == "origins":
                yield self._names(page)

    def rehash(self, connection: Connection, cards: Iterable[CardRows]) -> None:
        """Write the chains, digests and proofs of these cards, which are as the old key wrote them."""
        hashes: dict[str, list[Rehashed]] = {}
        ends: list[dict[str, Any]] = []
        proofs: list[dict[str, Any]] = []
        for rows in cards:
            if rows.card is None or rows.illegible is not None:
                continue
            changed, head = rehashed(rows, rows.card, self._old, self._new, self._identity)
            for one in changed:
                hashes.setdefault(one.table, []).append(one)
            ends.append({"of": rows.card["id"], "head": head, "kept": self._digest(rows, head)})
            proofs += [
                {"of": one["id"], "proof": RECORDED_PROOF.of(one, self._new)}
                for one in rows.recorded
                if RECORDED_PROOF.holds(one, self._old)
            ]
        for name, found in hashes.items():
            table = tables.metadata.tables[name]
            connection.execute(
                update(table).where(table.c.id == bindparam("of")).values(chain_hash=bindparam("hash")),
                [{"of": one.row_id, "hash": one.chain_hash} for one in found],
            )
        cards_ = tables.cards
        if ends:
            connection.execute(
                update(cards_)
                .where(cards_.c.id == bindparam("of"))
                .values(chain_head=bindparam("head"), digest=bindparam("kept")),
                ends,
            )
        if proofs:
            of = tables.redemptions.c.id == bindparam("of")
            connection.execute(update(tables.redemptions).where(of).values(proof=bindparam("proof")), proofs)

    def _page(self, page: Page, changes: Mapping[str, _Change]) -> Page:
        at = {name: place for place, name in enumerate(page.columns) if name in changes}
        # A ledger of a release before the proofs has none.
        proof = ROW_PROOFS.get(page.table) if "proof" in page.columns else None
        rows = []
        for row in page.rows:
            named, made = dict(zip(page.columns, row, strict=True)), list(row)
            for name, place in at.items():
                # What does not open was changed by somebody, and stays as it is.
                with suppress(VaultError):
                    made[place] = changes[name](made[place], named) if made[place] else made[place]
            if proof is not None and proof.holds(named, self._old):
                under_new = proof.of(dict(zip(page.columns, made, strict=True)), self._new)
                made[page.columns.index("proof")] = under_new
            rows.append(made)
        return Page(page.table, page.columns, rows)

    def _names(self, page: Page) -> Page:
        """The look-up of buyers' names for these origins, which are under the old key."""
        rows: list[tuple[int, int]] = []
        for row in page.rows:
            named = dict(zip(page.columns, row, strict=True))
            with suppress(VaultError):
                words = self._new.name_words(self._old.open_words(named["holder"]))
                rows += [(word, named["card_id"]) for word in words]
        return Page("origin_names", ("word", "card_id"), rows)

    def _secret(self, purpose: Callable[[Mapping[str, Any]], str]) -> _Change:
        return lambda value, row: self._new.seal_secret(
            self._old.open_secret(value, purpose(row)), purpose(row)
        )

    def _identity(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the hash of an identity covers under the new key."""
        index = row["serial_index"]
        return row if index is None else {**row, "serial_index": self._new.wrap_index(index)}

    def _decided(self, decided: Mapping[str, Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A decision names a card by its id on a side or the hash of its number."""
        card = decided.get("card")
        made = {**decided, "card": self._new.wrap_index(str(card))} if _is_hash(card) else decided
        if is_as_decided(row["id"], row["card_id"], decided, self._old):
            return with_proof(row["id"], row["card_id"], made, self._new)
        return made

    def _hint(self, key: str, _: object) -> str:
        return ":".join(self._new.wrap_index(part) if _is_hash(part) else part for part in key.split(":"))

    def _digest(self, rows: CardRows, head: str) -> str:
        """The digest under the new key of a card that has one that fits; else what is there."""
        card = rows.card
        assert card is not None  # noqa: S101
        kept: str = card["digest"]
        try:
            read = card_as_read(rows, self._old)
        except (ValueError, TypeError, VaultError):
            return kept
        if digested(read, card["chain_seq"], card["chain_head"], self._old).chain.digest != kept:
            return kept
        return digested(read, card["chain_seq"], head, self._new).chain.digest or kept


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and all(c in "0123456789abcdef" for c in text)
