"""Secrets travel over HTTPS, or stay on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import load
from connectors.flow import FlowSettings
from mappings.addresses import is_private_channel
from sync.support.senders import WebhookSender

PRIVATE = [
    "https://api.flowretail.com/v2",
    "http://127.0.0.1:8080/v2",
    "http://127.8.9.1",
    "http://localhost:1/x",
    "http://[::1]:8080/",
]
READABLE = [
    "http://api.flowretail.com/v2",
    "http://127.0.0.1.example.com/",
    "http://localhost.example.com/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "http://localhost@example.com/",
    "http://127.0.0.1\\@example.com/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::1/",
    "ftp://127.0.0.1/",
    "//127.0.0.1/",
    "",
]

CONFIG = """
[link]
timezone = "Europe/Oslo"
[sides.shopify]
connector = "shopify"
shop = "kaffe.myshopify.com"
token = "shpat"
{shopify}
[sides.flow]
connector = "flow"
tenant = "7"
store = "70"
token = "t"
{flow}
[notices]
{notices}
[console]
{console}
"""


@pytest.mark.parametrize("address", PRIVATE)
def test_https_and_this_machine_are_private(address: str) -> None:
    assert is_private_channel(address)


@pytest.mark.parametrize("address", READABLE)
def test_anything_else_can_be_read_on_the_way(address: str) -> None:
    assert not is_private_channel(address)


@pytest.mark.parametrize(
    ("table", "key"),
    [("sides.shopify", "url"), ("sides.flow", "url"), ("notices", "webhook_url"), ("console", "public_url")],
)
def test_the_settings_refuse_plain_http_and_name_the_key(table: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "giftsync.toml"
    lines = dict.fromkeys(("shopify", "flow", "notices", "console"), "")
    path.write_text(
        CONFIG.format(**{**lines, table.removeprefix("sides."): f'{key} = "http://secret.example.com"'})
    )

    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"giftsync.toml: [{table}] {key} must be an address")
    assert "secret" not in problem

    path.write_text(
        CONFIG.format(**{**lines, table.removeprefix("sides."): f'{key} = "http://127.0.0.1:8080"'})
    )
    load(path)


def test_the_connectors_refuse_it_by_themselves() -> None:
    with pytest.raises(ValueError, match="https://"):
        FlowSettings(tenant="7", store="70", token="t", timezone="Europe/Oslo", base_url="http://example.com")
    with pytest.raises(ValueError, match="https://"):
        WebhookSender("http://example.com/KEY")
