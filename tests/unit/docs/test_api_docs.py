"""docs/reference/api.md names every code, scope and call of the API."""

from __future__ import annotations

import re
from pathlib import Path

from console.api import cards, redemptions
from console.api.access import SCOPES
from console.api.problems import CODES
from sync.decisions.authority import Reason

PAGE = Path("docs/reference/api.md").read_text(encoding="utf-8")


def test_given_the_page_then_it_names_every_code_with_its_status() -> None:
    told = {
        code: int(status)
        for status, line in re.findall(r"^\| (\d{3}) \| (.*) \|$", PAGE, re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", line)
        if code in CODES
    }
    assert told == {code: status for code, (status, _) in CODES.items()}


def test_given_a_reason_of_the_authority_then_it_is_a_code() -> None:
    assert {reason.value for reason in Reason} <= set(CODES)


def test_given_the_page_then_it_names_every_scope_and_call() -> None:
    paths = {route.path for router in (cards.router, redemptions.router) for route in router.routes}  # type: ignore[attr-defined]
    bare = {
        re.sub(r"/\{.*?\}", "/{id}", path).replace("giftcards/{id}", "giftcards/{card}") for path in paths
    }
    told = PAGE.replace("`…/void`", "`/authorizations/{id}/void`").replace("GET /authorizations/{id}", "")
    assert [path for path in sorted(bare) if path not in told] == []
    assert [scope for scope in SCOPES if f"| {scope} |" not in PAGE] == []
