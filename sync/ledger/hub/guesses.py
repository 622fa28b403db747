"""Wrong guesses of numbers and CVCs, counted by card and by token over a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, case, delete, select

from sync.ledger.database.engine import asking
from sync.ledger.database.tables import cvc_guesses
from sync.ledger.database.upsert import upsert

#: Wrong CVCs for one card, and numbers or CVCs that do not fit from one token, before no more are heard.
CARD_MAX = 5
TOKEN_MAX = 30
WINDOW = timedelta(minutes=15)


@dataclass(frozen=True)
class Guesses:
    """Each method is one transaction."""

    engine: Engine

    def is_spent(self, subject: str, most: int, now: datetime) -> bool:
        """Whether the subject has been guessed wrong as often as it may."""
        query = select(cvc_guesses.c.wrong).where(
            cvc_guesses.c.subject == subject, cvc_guesses.c.since > now - WINDOW
        )
        with asking(self.engine) as connection:
            wrong = connection.execute(query).scalar_one_or_none()
        return wrong is not None and wrong >= most

    def count(self, subject: str, now: datetime) -> int:
        """Count one wrong guess; how many there were in the window."""
        began = cvc_guesses.c.since <= now - WINDOW
        with self.engine.begin() as connection:
            made: int = connection.execute(
                upsert(connection, cvc_guesses, {"subject": subject, "wrong": 1, "since": now})
                .on_conflict_do_update(
                    index_elements=[cvc_guesses.c.subject],
                    set_={
                        "wrong": case((began, 1), else_=cvc_guesses.c.wrong + 1),
                        "since": case((began, now), else_=cvc_guesses.c.since),
                    },
                )
                .returning(cvc_guesses.c.wrong)
            ).scalar_one()
        return made

    def forget(self, subject: str) -> None:
        """The right one was given."""
        with self.engine.begin() as connection:
            connection.execute(delete(cvc_guesses).where(cvc_guesses.c.subject == subject))
