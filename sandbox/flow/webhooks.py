"""Webhook transports and the delivery of events after commit (flow.md §6).

How an action is bound to a transport is unknown: every transport gets every action that the emulator emits.
"""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox.flow.behaviour import WebhookBehaviour

Spawn = Callable[[Coroutine[Any, Any, None]], None]

SECURITY_NONE = "NONE"
SECURITY_BASIC = "BASIC_AUTH"
SECURITY_BEARER = "BEARER"
SECURITY_TYPES = (SECURITY_NONE, SECURITY_BASIC, SECURITY_BEARER)


@dataclass(frozen=True, slots=True)
class Transport:
    """Where events are sent and how the sender shows who it is."""

    uid: str
    name: str
    url: str
    security: str = SECURITY_NONE
    token: str = ""
    username: str = ""
    password: str = ""
    #: Extra headers of every delivery.
    headers: tuple[tuple[str, str], ...] = ()

    def request_headers(self) -> dict[str, str]:
        headers = dict(self.headers)
        if self.security == SECURITY_BEARER:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.security == SECURITY_BASIC:
            pair = b64encode(f"{self.username}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        return headers


@dataclass(slots=True)
class Delivery:
    """One event on its way to one transport; `answers` holds a status or "timeout"/"error" per attempt."""

    action: str
    transport_uid: str
    payload: dict[str, object]
    answers: list[int | str] = field(default_factory=list)
    outcome: str = "pending"


class Dispatcher:
    """Sends events in the background, with retries and with the mischief that the behaviour asks for."""

    def __init__(self, behaviour: WebhookBehaviour, seed: int, spawn: Spawn) -> None:
        self.behaviour = behaviour
        self.transports: dict[str, Transport] = {}
        self.deliveries: list[Delivery] = []
        self._random = random.Random(f"flow webhooks {seed}")
        self._spawn = spawn
        self._next = 1
        self._session: aiohttp.ClientSession | None = None

    def new_uid(self) -> str:
        uid = f"ht-{self._next}"
        self._next += 1
        return uid

    def announce(self, action: str, payload: dict[str, object]) -> None:
        """Send one event to every transport. Call from the event loop, after the change has been made."""
        for transport in list(self.transports.values()):
            behaviour = self.behaviour
            # Every chance is drawn for every event, so that one switch does not change what another does.
            lost, doubled, late = (self._random.random() for _ in range(3))
            copies = 0 if lost < behaviour.lost else 2 if doubled < behaviour.duplicated else 1
            if not copies:
                self.deliveries.append(Delivery(action, transport.uid, payload, outcome="lost"))
            for _ in range(copies):
                delivery = Delivery(action, transport.uid, payload)
                self.deliveries.append(delivery)
                pause_s = behaviour.late_s if late < behaviour.late else 0.0
                self._spawn(self._deliver(transport, delivery, pause_s))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _deliver(self, transport: Transport, delivery: Delivery, pause_s: float) -> None:
        if pause_s:
            await asyncio.sleep(pause_s)
        for attempt in range(self.behaviour.retries_max + 1):
            if attempt:
                await asyncio.sleep(self.behaviour.backoff_first_s * 2 ** (attempt - 1))
            answer = await self._attempt(transport, delivery)
            delivery.answers.append(answer)
            if isinstance(answer, int) and answer < 300:
                delivery.outcome = "delivered"
                return
            if isinstance(answer, int) and 400 <= answer < 500:
                delivery.outcome = "refused"
                return
        delivery.outcome = "given up"

    async def _attempt(self, transport: Transport, delivery: Delivery) -> int | str:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with self._session.post(
                transport.url,
                json=delivery.payload,
                headers=transport.request_headers(),
                timeout=aiohttp.ClientTimeout(total=self.behaviour.timeout_s),
                allow_redirects=False,
            ) as answer:
                return answer.status
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientError:
            return "error"
