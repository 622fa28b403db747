"""Webhooks of an emulated shop: signed as Standard Webhooks, sent again until they are taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import aiohttp

from sandbox.http_side.behaviour import HttpShopBehaviour

ANSWER_SECONDS = 15.0
FIRST_AGAIN_SECONDS = 0.5


def signed_headers(secret: str, event: str, at: datetime, body: bytes) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`."""
    stamp = str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{event}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
        "content-type": "application/json",
    }


class Notifier:
    """Tells one receiver of changed cards, in the background."""

    def __init__(
        self,
        behaviour: HttpShopBehaviour,
        clock: Callable[[], datetime],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.url: str | None = None
        self.secret = ""
        self._behaviour, self._clock, self._spawn, self._pause = behaviour, clock, spawn, pause
        self._dice = random.Random(19)
        self._count = 0
        #: How many were taken.
        self.taken = 0

    def event(self, card_id: str) -> tuple[str, bytes]:
        """The id and body of a new event."""
        self._count += 1
        body = {"type": "card.changed", "timestamp": self._clock().isoformat(), "data": {"card": card_id}}
        return f"msg_{self._count:08d}", json.dumps(body).encode()

    def tell(self, card_id: str) -> None:
        """Send an event, unless nobody is told or it is lost. Call from the event loop."""
        if self.url is None:
            return
        lost, doubled, late = (self._dice.random() for _ in range(3))
        if lost < self._behaviour.webhooks_lost:
            return
        event, body = self.event(card_id)
        wait = self._behaviour.webhook_late_seconds if late < self._behaviour.webhooks_late else 0.0
        for _ in range(2 if doubled < self._behaviour.webhooks_doubled else 1):
            self._spawn(self._deliver(self.url, event, body, wait))

    async def _deliver(self, url: str, event: str, body: bytes, wait: float) -> None:
        async with aiohttp.ClientSession() as session:
            for attempt in range(self._behaviour.webhook_retries_max + 1):
                await self._pause(wait)
                wait = FIRST_AGAIN_SECONDS * 2**attempt
                headers = signed_headers(self.secret, event, self._clock(), body)
                timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
                try:
                    async with session.post(url, data=body, headers=headers, timeout=timeout) as answer:
                        if 200 <= answer.status < 300:
                            self.taken += 1
                            return
                except (TimeoutError, aiohttp.ClientError, asyncio.IncompleteReadError):
                    continue
