"""Each kind of conflict is settled in three clicks from the overview, by what the pages alone say."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.console import served_console
from cli.demo.control import Control
from cli.emulators import SandboxOptions
from cli.output import Output
from cli.session import load_settings, opened_worker
from sync.support.people import Role
from sync.worker.service import Service
from tests.integration.console.house import PASSWORD, Browser, headline
from tests.integration.support.test_conflict_kinds import RECIPES, Link
from tests.support import Giftsync

#: What is typed where a decision needs it; `{number}` is a number that nobody has.
TYPED = {"amount": "100", "card": "99887766554433221"}


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    return SandboxOptions(plan="plus", till_customers=True)


@contextmanager
def console_on(config: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Browser]:
    """The console of the link, with the owner signed in. No worker runs beside it."""
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[console]\n", "[console]\nport = 0\n"), encoding="utf-8")
    settings = load_settings(config)
    with (
        opened_worker(settings, threading.Event()) as (worker, ledger),
        served_console(settings, Service(worker), ledger, Output()),
    ):
        said = capsys.readouterr().err.replace("\n", "")
        link = re.search(r"(http://\S+)/join/(\S{43})", said)
        assert link is not None, said
        browser = Browser(link[1])
        name = f"the {Role.MERCHANT.value}"
        answer = browser.send(f"/join/{link[2]}", name=name, password=PASSWORD, again=PASSWORD)
        assert answer.status_code == 200
        yield browser


@pytest.mark.parametrize("kind", RECIPES)
def test_given_the_kind_then_the_overview_leads_to_it_and_a_decision_settles_it(
    giftsync: Giftsync,
    config: Path,
    flow: Control,
    shopify: Control,
    kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    link = Link(giftsync, config, flow, shopify)
    RECIPES[kind](link)
    for _ in range(4):
        link.sync()
        if kind in link.kinds():
            break
    with console_on(config, capsys) as browser:
        overview = browser.get("/").text
        leads = re.findall(r'href="(/conflicts/\d+)"', overview)
        # Click one: the conflict. The overview shows the dearest; here there are few.
        path = next(path for path in leads if kind in _kind_of(browser, path, kind))
        page = browser.get(path).text
        offered = re.findall(r'name="choice" value="([^"]+)"', page)
        assert offered, page
        # Click two: any of the decisions. Click three: the confirmation.
        given = {"choice": offered[0], **TYPED}
        asked = browser.post(path, **given)
        assert headline(asked.text) == "Confirm your decision", asked.text
        done = browser.post(path, **given, why="a person looked", confirmed="yes")
        assert done.status_code == 200, done.text
        assert "Settled today" in done.text


def _kind_of(browser: Browser, path: str, kind: str) -> str:
    """The kind, if the conflict is of it."""
    from zoneinfo import ZoneInfo

    from console.words import Words

    words = Words.of("en", ZoneInfo("Europe/Oslo")).kind(kind)
    return kind if f"· {words}</p>" in browser.get(path).text else ""
