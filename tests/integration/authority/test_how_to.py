"""The examples of docs/how-to/use-the-api.md, run as they are printed against an API that is served."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.model import RedemptionState
from tests.integration.authority.served import Served, serving
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop

PAGE = Path("docs/how-to/use-the-api.md")
_BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
EXAMPLES = [(language, code) for language, code in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


@pytest.fixture
def served(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A card with 1,000.00, and what the page has in the environment."""
    shop.in_step(100_000)
    with serving(shop) as api:
        monkeypatch.setenv("API", api.url)
        monkeypatch.setenv("TOKEN", api.caller().secret)
        monkeypatch.setenv("NUMBER", SERIAL)
        yield api


def _curl(code: str, **variables: str) -> dict[str, Any]:
    ran = subprocess.run(
        ["bash", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        check=True,
    )
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_given_the_examples_with_curl_then_each_does_what_the_page_says(shop: Shop, served: Served) -> None:
    validate, pay, give_back, authorize, capture = [code for language, code in EXAMPLES if language == "bash"]

    assert _curl(validate)["redeemable"] is True
    paid = _curl(pay)
    assert (paid["state"], paid["amount"]) == ("completed", "120.50")
    assert _curl(pay) == paid, "the same key"
    assert shop.shown() == {FLOW: 87_950, SHOPIFY: 87_950}
    assert _curl(give_back, REDEMPTION=paid["id"])["state"] == "reversed"
    held = _curl(authorize)
    assert held["state"] == "authorized"
    taken = _curl(capture, AUTHORIZATION=held["id"])
    assert (taken["state"], taken["amount"]) == ("completed", "250.00")
    shop.work_until_quiet(1)
    assert shop.shown() == {FLOW: 75_000, SHOPIFY: 75_000}


def test_given_the_example_in_python_then_it_pays_once_and_raises_for_what_is_not_taken(
    shop: Shop, served: Served
) -> None:
    (code,) = [code for language, code in EXAMPLES if language == "python"]
    example: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), example)

    paid = example["pay"](SERIAL, "120.50", "receipt 1007")

    assert paid["state"] == RedemptionState.COMPLETED
    assert shop.shown() == {FLOW: 87_950, SHOPIFY: 87_950}
    with pytest.raises(RuntimeError, match="less on this card"):
        example["pay"](SERIAL, "5000.00", "receipt 1008")
    example["session"].close()
