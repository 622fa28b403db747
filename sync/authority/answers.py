"""Answer a request once: a repeated one, at the same time or a month later, gets the first answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sync.crashpoints import crashpoint
from sync.ledger.hub.requests import Answer, Requests


@dataclass(frozen=True)
class Reply:
    """What a request comes to. One that is not final (busy, pending) may be answered otherwise later."""

    answer: Answer
    final: bool = True


def answer_once(
    requests: Requests,
    token_id: str,
    key: str,
    fingerprint: str,
    now: datetime,
    work: Callable[[], Reply],
) -> Answer:
    """The kept answer of the request, or what `work` comes to now.

    `work` makes its movement under the same key, so that two that work at the same time make one. Raises
    KeyReused.
    """
    known = requests.begin(token_id, key, fingerprint, now)
    if known is not None:
        return known
    crashpoint("request.began")
    reply = work()
    if not reply.final:
        return reply.answer
    kept = requests.finish(token_id, key, reply.answer)
    crashpoint("request.answered")
    return kept
