"""Flow's connector and its emulator in one process: every request is a step, at which a mishap may strike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import requests
from aiohttp import web
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError, ProtocolError
from yarl import URL

from sandbox.flow import FlowEmulator
from tests.support import Crashed

STEPS_MAX = 60


class Mishap(Enum):
    DIE_BEFORE = "the process dies before the step"
    DIE_AFTER = "the process dies after the step"
    NOT_SENT = "no connection"
    LOSE_REQUEST = "the request is lost"
    LOSE_ANSWER = "the answer is lost"
    LATE = "the connection breaks, and the request lands in the quiet period"
    LATER = "the connection breaks, and the request lands at the end of the quiet period"
    GARBLE = "the answer is not readable"


#: What can befall a commit: it is not a request.
OF_COMMITS = (Mishap.DIE_BEFORE, Mishap.DIE_AFTER)


@dataclass
class Script:
    """Counts steps and says what befalls each."""

    mishaps: Mapping[int, Mishap]
    step: int = 0
    #: The names of the steps so far.
    steps: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    #: Requests that land later.
    late: list[Callable[[], object]] = field(default_factory=list)
    #: Those among them that land at the end of the quiet period only.
    later: list[Callable[[], object]] = field(default_factory=list)
    steps_max: int = STEPS_MAX * 3
    #: Called before each step, for what others do at the same time.
    about_to: Callable[[str], None] = lambda step: None

    def next(self, name: str, possible: tuple[Mishap, ...] = tuple(Mishap)) -> Mishap | None:
        self.about_to(name)
        self.step += 1
        assert self.step <= self.steps_max, "the effect does not come to an end"
        self.steps.append(name)
        mishap = self.mishaps.get(self.step)
        if mishap not in possible:
            return None
        self.struck.append(f"{name}: {mishap.value}")
        return mishap

    def land(self) -> None:
        """Let every late request land."""
        self.late += self.later
        self.later.clear()
        self.land_late()

    def land_late(self) -> None:
        """Let those land that do not take until the end of the quiet period."""
        while self.late:
            self.late.pop(0)()


class Bridge(HTTPAdapter):
    """Carries a session's requests to the emulator, unless the script has other plans."""

    def __init__(self, emulator: FlowEmulator, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.emulator = emulator
        self.loop = loop
        self.script = Script({})

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        path = request.path_url.partition("?")[0].split("/")
        mishap = self.script.next(
            f"{request.method} {path[-2] if path[-2] in ('giftcards', 'orders') else path[-1]}"
        )
        match mishap:
            case None:
                return self.carry(request)
            case Mishap.DIE_BEFORE:
                raise Crashed
            case Mishap.DIE_AFTER:
                self.carry(request)
                raise Crashed
            case Mishap.NOT_SENT:
                raise requests.ConnectionError(NewConnectionError(None, "refused"))  # type: ignore[arg-type]
            case Mishap.LOSE_ANSWER:
                self.carry(request)
            case Mishap.LATE:
                self.script.late.append(lambda: self.carry(request))
            case Mishap.LATER:
                self.script.later.append(lambda: self.carry(request))
            case Mishap.GARBLE:
                response = self.carry(request)
                response._content, response._content_consumed = b"<!", True  # type: ignore[attr-defined]
                return response
            case Mishap.LOSE_REQUEST:
                pass
        raise requests.ConnectionError(ProtocolError("reset"))

    def carry(self, request: requests.PreparedRequest) -> requests.Response:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body

        async def answer() -> web.Response:
            # The parts of a request that the emulator looks at.
            url = URL(request.path_url, encoded=True)
            asked: Any = SimpleNamespace(
                method=request.method, rel_url=url, query=url.query, headers=request.headers
            )
            return await self.emulator.api(asked, body, self.emulator.name_operation(asked, body))

        answered = self.loop.run_until_complete(answer())
        response = requests.Response()
        response.status_code = answered.status
        response.headers.update(answered.headers)
        response._content = answered.body if isinstance(answered.body, bytes) else b""
        response._content_consumed = True  # type: ignore[attr-defined]
        response.request = request
        response.url = str(request.url)
        return response
