"""Tell receivers of events, signed as Standard Webhooks, and again until they take it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import requests
import structlog

from connectors.api.errors import SideError
from connectors.kit.http import CONNECT_SECONDS, send_once
from connectors.kit.wire import WireAdapter
from mappings.addresses import is_private_channel
from sync.ledger.hub.events import Events, Telling, Webhook

log = structlog.get_logger(__name__)

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 24
ANSWER_SECONDS = 15.0
#: After each attempt that was not taken; then it is given up, and can be replayed.
AGAIN_SECONDS = (5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
#: One receiver that takes its time must not keep the others waiting for ever.
ROUND_MAX = 50
#: Longer than one attempt takes, so that two processes do not tell of one event at the same time.
CLAIM_SECONDS = 60.0

#: Sends a body with headers to an address; the status. Raises SideError or requests.RequestException.
Post = Callable[[str, bytes, Mapping[str, str]], int]


def new_webhook(url: str, events: tuple[str, ...], now: datetime) -> Webhook:
    """A receiver with a secret of its own. Raises ValueError for an address that others could listen to."""
    if not is_private_channel(url):
        raise ValueError("the address must start with https://")
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    return Webhook(f"whk_{secrets.token_hex(5)}", url, secret, events, now)


def signed(secret: str, event_id: str, moment: datetime, body: bytes) -> dict[str, str]:
    """The headers by which the receiver knows that it comes from us, and is whole and fresh."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    stamp = str(int(moment.timestamp()))
    mac = hmac.digest(key, f"{event_id}.{stamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Over HTTP, within a bounded time; redirects are not followed."""
    with requests.Session() as session:
        session.mount("http://", WireAdapter())
        session.mount("https://", WireAdapter())
        more = {**headers, "content-type": "application/json", "user-agent": "giftsync"}
        request = session.prepare_request(requests.Request("POST", url, data=body, headers=more))
        return send_once(session, request, (CONNECT_SECONDS, ANSWER_SECONDS)).status_code


@dataclass(frozen=True)
class Round:
    """What one round of telling came to."""

    taken: int = 0
    #: Whether a receiver did not answer.
    met_unreachable: bool = False
    #: Whether more may be due than this round had time or room for.
    is_cut: bool = False
    has_receivers: bool = True


@dataclass(frozen=True)
class Teller:
    """Finds events and tells of them; to be called again and again, by any number of processes."""

    events: Events
    clock: Callable[[], datetime]
    post: Post = post

    def step(self, stop: threading.Event | None = None) -> Round:
        """One round, which ends before its end when `stop` is set.

        A receiver that does not answer is asked once: each attempt may take all of ANSWER_SECONDS.
        """
        if self.events.collect(self.clock()) is None:
            return Round(has_receivers=False)
        due = self.events.due(self.clock(), ROUND_MAX)
        taken, unreachable = 0, set[str]()
        for telling in due:
            if stop is not None and stop.is_set():
                return Round(taken, bool(unreachable), is_cut=True)
            until = self.clock() + timedelta(seconds=CLAIM_SECONDS)
            if telling.webhook.id in unreachable or not self.events.claim(telling, until):
                continue
            try:
                taken += self._tell(telling)
            except (SideError, requests.RequestException) as error:
                unreachable.add(telling.webhook.id)
                self._again(telling, f"it could not be reached ({type(error).__name__})", self.clock())
        return Round(taken, bool(unreachable), is_cut=len(due) == ROUND_MAX)

    def _tell(self, telling: Telling) -> bool:
        """Whether it was taken. Raises SideError and requests.RequestException when nobody answers."""
        body = json.dumps(telling.body, separators=(",", ":"), ensure_ascii=False).encode()
        moment = self.clock()
        headers = signed(telling.webhook.secret, telling.event_id, moment, body)
        status = self.post(telling.webhook.url, body, headers)
        if 200 <= status < 300:
            self.events.told(telling, f"taken with {status}", None, moment)
            return True
        if status == 410:
            log.warning(
                "a receiver wants no more events", action="api.webhook_ended", webhook=telling.webhook.id
            )
            self.events.end(telling.webhook.id, moment)
            return False
        self._again(telling, f"it answered {status}", moment)
        return False

    def _again(self, telling: Telling, outcome: str, moment: datetime) -> None:
        given_up = telling.attempts >= len(AGAIN_SECONDS)
        seconds = 0.0 if given_up else AGAIN_SECONDS[telling.attempts]
        self.events.told(telling, outcome, None if given_up else moment + timedelta(seconds=seconds), None)
        if given_up:
            log.warning(
                "a receiver did not take an event; `giftsync webhooks replay` tells it again",
                action="api.webhook_given_up",
                webhook=telling.webhook.id,
                why=outcome,
            )
