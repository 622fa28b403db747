"""Requests of the API and their answers, so that a repeated request is answered like the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, select, update

from sync.ledger.database.engine import asking
from sync.ledger.database.tables import api_requests
from sync.ledger.database.upsert import upsert

#: How long an answer is kept for a caller who repeats.
KEPT = timedelta(days=90)


class KeyReused(Exception):
    """The Idempotency-Key belongs to another request of the same token."""


@dataclass(frozen=True)
class Answer:
    """What a request was answered for good."""

    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Requests:
    """Each method is one transaction."""

    engine: Engine

    def begin(self, token_id: str, key: str, fingerprint: str, now: datetime) -> Answer | None:
        """Record a request before it is worked on; its answer if it was answered for good already.

        Raises KeyReused when the key came with another request.
        """
        values = {"token_id": token_id, "key": key, "fingerprint": fingerprint, "began_at": now}
        with self.engine.begin() as connection:
            connection.execute(upsert(connection, api_requests, values).on_conflict_do_nothing())
            row = connection.execute(
                select(api_requests).where(api_requests.c.token_id == token_id, api_requests.c.key == key)
            ).one()
        if row.fingerprint != fingerprint:
            raise KeyReused
        return None if row.status is None else Answer(row.status, row.answer)

    def finish(self, token_id: str, key: str, answer: Answer) -> Answer:
        """Keep the answer, unless there is one already; the one that is kept."""
        which = (api_requests.c.token_id == token_id, api_requests.c.key == key)
        with self.engine.begin() as connection:
            connection.execute(
                update(api_requests)
                .where(*which, api_requests.c.status.is_(None))
                .values(status=answer.status, answer=dict(answer.body))
            )
            row = connection.execute(
                select(api_requests.c.status, api_requests.c.answer).where(*which)
            ).one_or_none()
        return answer if row is None else Answer(row.status, row.answer)

    def answers_under(self, token_id: str, prefix: str) -> list[Answer]:
        """The kept answers of a token's requests whose keys begin like this, the oldest first."""
        query = (
            select(api_requests.c.status, api_requests.c.answer)
            .where(
                api_requests.c.token_id == token_id,
                api_requests.c.key.startswith(prefix, autoescape=True),
                api_requests.c.status.is_not(None),
            )
            .order_by(api_requests.c.began_at, api_requests.c.key)
        )
        with asking(self.engine) as connection:
            return [Answer(row.status, row.answer) for row in connection.execute(query)]

    def forget_old(self, now: datetime) -> int:
        """Drop what nobody repeats any more."""
        with self.engine.begin() as connection:
            return connection.execute(
                delete(api_requests).where(api_requests.c.began_at < now - KEPT)
            ).rowcount
