"""From the sandbox's ready line to settings, and the walls around what it binds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.emulators import Address, check_loopback
from cli.errors import OperatorError
from cli.sandbox_config import parse_ready_line, sandbox_toml
from config.load import load
from connectors.flow.section import FlowSection
from connectors.shopify.section import ShopifySection

LINE = {
    "shopify": {
        "url": "http://127.0.0.1:1",
        "shop": "giftsync-sandbox.myshopify.com",
        "token": "s-token",
        "api_secret": "secret",
    },
    "flow": {"url": "http://127.0.0.1:2", "tenant": "7", "store": "70", "token": "f-token"},
}
ADDRESS = Address(LINE)


def test_the_ready_line_becomes_settings(tmp_path: Path) -> None:
    path = tmp_path / "giftsync.toml"
    path.write_text(sandbox_toml(parse_ready_line(json.dumps(LINE))), encoding="utf-8")

    settings = load(path)

    shopify, flow = settings.sides.by_name()["shopify"], settings.sides.by_name()["flow"]
    assert isinstance(shopify, ShopifySection)
    assert isinstance(flow, FlowSection)
    assert shopify.url == "http://127.0.0.1:1"
    assert flow.url == "http://127.0.0.1:2/v2"
    assert flow.token.get_secret_value() == "f-token"
    assert flow.api_issue_allowed


def test_an_address_does_not_show_its_tokens() -> None:
    assert "token" not in repr(ADDRESS)
    assert "secret" not in repr(ADDRESS)


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "hello", "[]", "{}", '{"shopify": 1, "flow": 2}', '{"shopify": {}, "flow": {}}'),
        json.dumps({**LINE, "flow": {"url": "http://127.0.0.1:2"}}),
        json.dumps({**LINE, "flow": {**LINE["flow"], "token": 5}}),
    ],
)
def test_anything_else_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(OperatorError) as caught:
        parse_ready_line(text)

    assert "sandbox serve" in caught.value.remedy
    assert "f-token" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_addresses_are_bound(host: str) -> None:
    assert check_loopback(host) == host


def test_localhost_is_loopback() -> None:
    assert check_loopback("localhost") == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "", "127.0.0.1.example.com"])
def test_other_addresses_are_refused(host: str) -> None:
    with pytest.raises(OperatorError, match="does not bind"):
        check_loopback(host)
