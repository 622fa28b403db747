"""A digest of new conflicts, and of sign-ins on new browsers, for the people who look after the link.

A digest that could not be delivered is made again the next time, so each of them is told of at least once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from mappings.readers import ENGLISH, Reader
from mappings.sentences import Sentence, say
from sync.ledger.conflicts.news import ConflictNews, NewsConflict, conflict_news
from sync.ledger.database.engine import Engine
from sync.ledger.database.marks import read_mark, save_mark
from sync.ledger.support.people import NewBrowser, browsers_met
from sync.support.senders import NotDelivered, Notice, Sender

log = structlog.get_logger(__name__)

CURSOR = "notices"
#: Conflicts told of one by one; of more there is a number.
LISTED_MAX = 20


def notice_of(
    news: ConflictNews, browsers: Sequence[NewBrowser] = (), reader: Reader = ENGLISH
) -> Notice | None:
    """What people are told; None when there is nothing new."""
    if not news.opened_count and not news.ended_count and not browsers:
        return None
    lines: list[str] = [_signed_in(one) for one in browsers[-LISTED_MAX:]]
    lines += [_line(one, reader) for one in news.opened]
    more = news.opened_count - len(news.opened)
    if more:
        lines.append(say("and {count} more", count=more))
    if news.ended_count:
        ended = news.ended_count
        lines.append(say("Closed by themselves, because their cause is gone: {count}.", count=ended))
    waiting = say(
        "Waiting for a decision: {count}. `giftsync conflicts list` shows them.", count=news.waiting_count
    )
    lines.append(waiting)
    data = {
        "opened": [{"id": one.id, "kind": one.kind, "amount_minor": one.amount_minor} for one in news.opened],
        "opened_count": news.opened_count,
        "ended_count": news.ended_count,
        "waiting_count": news.waiting_count,
        "new_browsers": [
            {"name": one.name, "device": one.device, "at": one.met_at.isoformat()} for one in browsers
        ],
    }
    told = []
    if browsers:
        told.append(
            say("a sign-in on a new browser") if len(browsers) == 1 else say("sign-ins on new browsers")
        )
    opened = news.opened_count
    if opened or not browsers:
        told.append(say("1 new conflict") if opened == 1 else say("{count} new conflicts", count=opened))
    subject = f"giftsync: {', '.join(map(reader.said, told))}"
    return Notice(subject, "\n".join(map(reader.said, lines)), data)


def _signed_in(one: NewBrowser) -> Sentence:
    """Its person can say best whether it was them: the console asks them as well."""
    return say(
        "{name} signed in to the console on a new browser ({device}) at {moment}. If it was somebody else: "
        "Sessions in the menu under the name ends it, `giftsync people remove` takes the person out.",
        name=one.name,
        device=one.device or say("unknown"),
        moment=f"{one.met_at:%Y-%m-%d %H:%M %Z}",
    )


def _told(text: str | None) -> dict[str, Any]:
    """Up to where the last digest told; nothing where that cannot be read."""
    try:
        told = json.loads(text or "{}")
        return told if told and datetime.fromisoformat(told["at"]).tzinfo and int(told["id"]) >= 0 else {}
    except (ValueError, TypeError, LookupError):
        return {}


def _line(one: NewsConflict, reader: Reader) -> str:
    at_stake = one.amount_minor and one.currency
    stake = f", {reader.money(one.amount_minor, one.currency or '')}" if at_stake else ""
    return f"{one.id} ({reader.kind(one.kind)}{stake}): {reader.said(one.summary)}"


@dataclass(frozen=True)
class Notices:
    """Sends digests. `send_due` may be called as often as wanted."""

    engine: Engine
    senders: Sequence[Sender]
    clock: Callable[[], datetime]
    interval_seconds: float
    reader: Reader = ENGLISH

    def send_due(self) -> bool:
        """Send a digest when there is news and the last one is long enough ago; whether one went out."""
        now = self.clock()
        told = _told(read_mark(self.engine, CURSOR))
        since = datetime.fromisoformat(told["at"]) if told else now
        if told and 0 <= (now - since).total_seconds() < self.interval_seconds:
            return False
        news = conflict_news(self.engine, told.get("id", 0), since, LISTED_MAX)
        browsers = browsers_met(self.engine, told.get("browser", 0))
        notice = notice_of(news, browsers, self.reader)
        if notice is None:
            return False
        sent = [self._send(sender, notice) for sender in self.senders]
        if any(sent):
            # One that failed while another went out is not made up for: nobody is told twice.
            last = browsers[-1].id if browsers else told.get("browser", 0)
            value = json.dumps({"id": news.last_id, "browser": last, "at": now.isoformat()})
            save_mark(self.engine, CURSOR, value, now)
        return any(sent)

    def _send(self, sender: Sender, notice: Notice) -> bool:
        try:
            sender.send(notice)
        except NotDelivered as error:
            log.error("a notice was not delivered", action="notice.failed", why=str(error))
            return False
        return True
