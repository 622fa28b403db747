"""The API of a link, from its settings."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from starlette.routing import Mount

from cli.build import Ledger
from cli.served import Served
from config.settings import Settings
from console.api.access import Doorkeeper
from console.api.app import PREFIX, create_api, mounted
from console.api.desk import Desk
from console.balance import BalancePage
from console.providers.vtex import PREFIX as VTEX_PREFIX
from console.providers.vtex import create_vtex
from sync.authority.cards import Cards
from sync.authority.redemptions import Redemptions
from sync.authority.work import Hands, Terms
from sync.decisions.authority import Mode
from sync.ledger.hub.guesses import Guesses
from sync.ledger.hub.requests import Requests
from sync.ledger.hub.tokens import ApiTokens
from sync.model import Unconfirmed

#: Sides that callers wait for at the same time.
LOOKS_AT_ONCE = 32

__all__ = ["PREFIX", "api_mounts", "build_balance_page", "terms_of"]


def api_mounts(settings: Settings, service: Served, ledger: Ledger) -> list[Mount]:
    """The API, and the protocols of platforms that ask it in their own words."""
    desk, doorkeeper = _desk(settings, service, ledger)
    vtex = mounted(create_vtex(desk, doorkeeper), VTEX_PREFIX)
    return [mounted(create_api(desk, doorkeeper)), vtex]


def _desk(settings: Settings, service: Served, ledger: Ledger) -> tuple[Desk, Doorkeeper]:
    hands = _hands(settings, service)
    desk = Desk(
        hands,
        Cards(hands, ledger.pool, Guesses(ledger.engine)),
        Redemptions(hands),
        Requests(ledger.engine),
    )
    return desk, Doorkeeper(ApiTokens(ledger.engine, ledger.vault), service.worker.link.clock)


def build_balance_page(settings: Settings, service: Served, ledger: Ledger) -> BalancePage:
    """The page for customers, which reads the ledger alone."""
    cards = Cards(_hands(settings, service), ledger.pool, Guesses(ledger.engine))
    return BalancePage(cards, settings.console.language, settings.handover.balance_without_cvc)


def _hands(settings: Settings, service: Served) -> Hands:
    worker = service.worker
    return Hands(
        lambda: worker.link,
        terms_of(settings),
        stopped=service.why_stopped,
        wait=threading.Event().wait,
        wake=service.wake_due,
        on_brake=worker.tell_of_brake,
        pool=ThreadPoolExecutor(LOOKS_AT_ONCE, "look"),
    )


def terms_of(settings: Settings) -> Terms:
    section = settings.api
    return Terms(
        mode=Mode(section.mode),
        unconfirmed=Unconfirmed(section.unconfirmed),
        looks_when_recording=section.look_before_record,
        pending_seconds=section.pending_seconds,
        answer_seconds=section.answer_seconds,
    )
