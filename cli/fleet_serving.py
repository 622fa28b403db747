"""Serves many links of a folder in one process, each opened when it is asked for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cli.build import ledger_exists, ledger_name
from cli.errors import OperatorError, explain
from cli.fleet import Fleet, FleetLink
from cli.served import Restart, parts_on
from cli.serving import ONLY_WEBHOOKS, LedgerWatch, opened_receiver, opened_service
from config.load import load
from config.settings import Settings
from console.guard import Memory
from console.part import Part, part_of
from sync.ledger.database.engine import LedgerUnavailable

if TYPE_CHECKING:
    from console.request_metrics import RequestMetrics

log = structlog.get_logger(__name__)

#: Before the path of a request: the link that it is for.
PREFIX = "/links/"
#: Say whether this process answers.
HEALTH = ("/health", "/healthz")
#: How often the folder is looked through for new links and changed settings.
LOOK_SECONDS = 2.0
#: A link that nobody has asked for in this time is closed.
IDLE_SECONDS = 120.0
#: A link that cannot be opened is tried again after this time.
AGAIN_SECONDS = 5.0
#: Links that are opened at the same time; each takes a tenth of a second of processor time.
OPENED_AT_ONCE = 4


@dataclass(frozen=True)
class _Known:
    """A link as its settings say."""

    link: FleetLink
    version: int
    parts: frozenset[Part]
    #: Where people find its pages; empty: nowhere.
    host: str = ""
    #: Why it is not served, in words.
    trouble: str = ""


class Folder:
    """The links of a folder; settings that change are read anew. Thread-safe."""

    def __init__(
        self,
        fleet: Fleet,
        wanted: frozenset[Part],
        say: Callable[[str], None],
        hide: Callable[[Settings], None],
    ) -> None:
        """`say` is told why a link is not served, once for each version of its settings; `hide` of the
        secrets of settings, before anything of them can be in a log line.
        """
        self._fleet, self._wanted, self._say, self._hide = fleet, wanted, say, hide
        self._links: Mapping[str, _Known] = {}
        self._hosts: Mapping[str, str] = {}

    @property
    def only_receives(self) -> bool:
        return self._wanted == ONLY_WEBHOOKS

    def look(self) -> None:
        """Read what is new."""
        found = self._fleet.read_anew(self._links, self._read, self._say)
        hosts: dict[str, str] = {}
        for name, known in found.items():
            if known.host:
                hosts.setdefault(known.host, name)
        self._links, self._hosts = found, hosts

    def named(self, name: str) -> _Known | None:
        found = self._links.get(name)
        return None if found is None or found.trouble else found

    def at(self, host: str) -> _Known | None:
        """The link whose pages are at this host."""
        name = self._hosts.get(host.lower())
        return None if name is None else self.named(name)

    def __len__(self) -> int:
        return sum(not one.trouble for one in self._links.values())

    def settings_of(self, known: _Known) -> Settings:
        """Raises ConfigError."""
        settings = load(known.link.config, only_receives=self.only_receives)
        self._hide(settings)
        return settings

    def _read(self, link: FleetLink, version: int) -> _Known:
        try:
            settings = load(link.config, only_receives=self.only_receives)
            self._hide(settings)
            # Where it is served is for this command to say, so webhooks need no port.
            on = parts_on(settings) | ONLY_WEBHOOKS
            parts = on & self._wanted if self._wanted else on
            url = urlsplit(settings.console.public_url or "")
            host = url.netloc.lower() if url.path in ("", "/") else ""
            return _Known(link, version, parts, host)
        except Exception as error:  # noqa: BLE001 one link's settings must not stop the others
            return _Known(link, version, frozenset(), trouble=f"its settings cannot be used: {error}")


@dataclass
class _Open:
    """A link, or its receiver alone, that is open. Only for the event loop, but for what `stack` closes."""

    version: int
    app: ASGIApp
    stack: ExitStack
    watch: LedgerWatch
    restart: Restart
    users: int = 0
    used_at: float = 0.0


@dataclass
class _Slot:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: _Open | None = None
    again_at: float = float("-inf")
    #: What was said of it last, so that a link that stays shut is told of once.
    said: str = ""


class FleetApp:
    """An application that hands each request to the link that it is for.

    Below `/links/NAME` are a link's webhooks and its API; its pages are at the host of its `public_url`, with
    the other two. Each part of a link is open by itself: deliveries keep no console open, and a console that
    another process serves keeps nobody from the API.
    """

    def __init__(
        self,
        folder: Folder,
        monotonic: Callable[[], float] = time.monotonic,
        metrics: RequestMetrics | None = None,
    ) -> None:
        self._folder, self._monotonic, self._metrics = folder, monotonic, metrics
        self._slots: dict[tuple[str, Part], _Slot] = {}
        #: What was opened anew meanwhile, until those who use it are done.
        self._retired: list[_Open] = []
        #: Of bodies under way, of all links together.
        self._memory = Memory()
        self._pool = ThreadPoolExecutor(OPENED_AT_ONCE, "open")
        self._tending: asyncio.Task[None] | None = None
        self._stopped = threading.Event()
        self._own = Starlette(routes=[Route(path, self._health) for path in HEALTH])

    @property
    def open_links(self) -> int:
        return sum(slot.open is not None for slot in list(self._slots.values()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend_always())
        if scope["type"] != "http":
            await self._own(scope, receive, send)
            return
        known, inner = self._addressed(scope)
        if known is None:
            await self._own(scope, receive, send)
            return
        if self._metrics is not None:
            send = self._metrics.counting(inner, send, known.link.name)
        part = part_of(inner["method"], inner["path"])
        if part is Part.CONSOLE and inner["path"] in HEALTH:
            await self._own(inner, receive, send)
            return
        if part not in known.parts:
            await Response(status_code=404)(scope, receive, send)
            return
        found = await self._opened(known, part)
        if found is None:
            await Response(status_code=503, headers={"retry-after": f"{AGAIN_SECONDS:.0f}"})(
                scope, receive, send
            )
            return
        found.users += 1
        try:
            await found.app(inner, receive, send)
        finally:
            found.users -= 1
            found.used_at = self._monotonic()

    def close(self) -> None:
        """Close every link; nothing is asked any more."""
        self._stopped.set()
        for slot in self._slots.values():
            if slot.open is not None:
                self._retired.append(slot.open)
                slot.open = None
        for one in self._retired:
            one.stack.close()
        self._pool.shutdown(wait=False)

    def _addressed(self, scope: Scope) -> tuple[_Known | None, Scope]:
        """The link that a request is for, and the request as it would be without the link's prefix."""
        path: str = scope["path"]
        if path.startswith(PREFIX):
            name, slash, rest = path.removeprefix(PREFIX).partition("/")
            within = f"/{rest}"
            known = self._folder.named(name)
            # Pages need a host of their own: a cookie is for a whole host.
            if known is None or not slash or part_of(scope["method"], within) is Part.CONSOLE:
                return None, scope
            return known, {**scope, "path": within, "raw_path": within.encode()}
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        return self._folder.at(host), scope

    async def _opened(self, known: _Known, part: Part) -> _Open | None:
        slot = self._slots.setdefault((known.link.name, part), _Slot())
        found = slot.open
        if found is not None and not _is_old(found, known):
            return found
        async with slot.lock:
            if slot.open is not None and not _is_old(slot.open, known):
                return slot.open
            if self._monotonic() < slot.again_at:
                return None
            loop = asyncio.get_running_loop()
            if slot.open is not None:
                self._retired.append(slot.open)
                slot.open = None
            try:
                slot.open = await loop.run_in_executor(self._pool, self._open, known, part)
            except Exception as error:  # noqa: BLE001 one link must not stop the others
                slot.again_at = self._monotonic() + AGAIN_SECONDS
                self._say_why(slot, known, error)
                return None
            slot.said = ""
            return slot.open

    def _say_why(self, slot: _Slot, known: _Known, error: Exception) -> None:
        failure = explain(error)
        why = " ".join(failure.messages) if failure is not None else type(error).__name__
        if why != slot.said:
            slot.said = why
            words = (
                f"a link cannot be served; it is tried again when it is asked, {AGAIN_SECONDS:.0f} s later"
            )
            log.error(words, action="link.unavailable", link=known.link.name, error=why)

    def _open(self, known: _Known, part: Part) -> _Open:
        settings = self._folder.settings_of(known)
        if not ledger_exists(settings):
            raise LedgerUnavailable("there is no ledger yet; its worker makes it")
        restart = Restart()
        app: ASGIApp
        with ExitStack() as stack:
            if part is Part.WEBHOOKS:
                app, ledger = stack.enter_context(opened_receiver(settings, self._memory))
                watch = LedgerWatch(ledger.engine, ledger_name(settings))
            else:
                # A receiver alone does not pay for the import.
                from cli.console import build_web, console_claimed, console_is_elsewhere

                service, ledger = stack.enter_context(opened_service(settings))
                watch = LedgerWatch(ledger.engine, ledger_name(settings))
                parts = frozenset({part})
                if not stack.enter_context(console_claimed(settings, ledger, parts, seconds=0)):
                    raise console_is_elsewhere()
                web = build_web(settings, service, ledger, parts, known.link.config, restart)
                stack.enter_context(web.at_work())
                app = web.app
            return _Open(known.version, app, stack.pop_all(), watch, restart, used_at=self._monotonic())

    # --- what happens by itself -----------------------------------------------------------------------------

    async def _tend_always(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopped.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await loop.run_in_executor(self._pool, self._folder.look)
                await self._tend()
            except Exception as error:  # noqa: BLE001 repeated, and what is open goes on
                log.error("the links could not be looked through", action="fleet.failed", error=str(error))

    async def _tend(self) -> None:
        """Close what nobody asks for, what has other settings by now, and whose ledger is gone."""
        loop = asyncio.get_running_loop()
        for (name, _), slot in list(self._slots.items()):
            found = slot.open
            if found is None or slot.lock.locked():
                continue
            known = self._folder.named(name)
            idle = self._monotonic() - found.used_at > IDLE_SECONDS
            gone = await loop.run_in_executor(self._pool, self._gone, found.watch)
            ends = known is None or _is_old(found, known) or gone is not None or idle
            if not ends or (idle and found.users) or slot.open is not found:
                continue
            slot.open = None
            self._retired.append(found)
            if gone is not None:
                log.error("a ledger is served no more", action="ledger.gone", link=name, reason=str(gone))
        done = [one for one in self._retired if not one.users]
        self._retired = [one for one in self._retired if one.users]
        for one in done:
            await loop.run_in_executor(self._pool, one.stack.close)

    def _gone(self, watch: LedgerWatch) -> LedgerUnavailable | None:
        try:
            watch.look()
        except LedgerUnavailable as error:
            return error
        except Exception:  # noqa: BLE001 a database that does not answer is waited for
            return None
        return None

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "up"})


def _is_old(found: _Open, known: _Known) -> bool:
    return found.version != known.version or found.restart.wanted


@contextmanager
def fleet_app(
    fleet: Fleet,
    wanted: frozenset[Part],
    say: Callable[[str], None],
    hide: Callable[[Settings], None],
    metrics: RequestMetrics | None = None,
) -> Iterator[FleetApp]:
    """The application of a fleet, with at least one link. Raises OperatorError."""
    links = Folder(fleet, wanted, say, hide)
    links.look()
    if not len(links):
        raise OperatorError(
            f"there is no link in {fleet.folder} that can be served",
            "`giftsync links add NAME` makes one; `giftsync links list` says what is wrong with those there.",
        )
    app = FleetApp(links, metrics=metrics)
    try:
        yield app
    finally:
        app.close()
