"""A process that only receives webhooks is given nothing that lets it into the sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.build import open_sides
from config.errors import ConfigError
from config.load import NOT_GIVEN, load
from connectors import registry
from connectors.api.plugin import ConnectorType
from connectors.api.settings import is_secret

SETTINGS = """
[link]
timezone = "Europe/Oslo"

[sides.shopify]
connector = "shopify"
shop = "example.myshopify.com"
{shopify}

[sides.flow]
connector = "flow"
tenant = "t1"
store = "s1"
{flow}
"""


def written(folder: Path, shopify: str = "", flow: str = "") -> Path:
    path = folder / "giftsync.toml"
    path.write_text(SETTINGS.format(shopify=shopify, flow=flow), encoding="utf-8")
    return path


def test_given_settings_without_tokens_then_a_receiver_has_what_it_needs_and_a_worker_has_not(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, 'client_secret = "proves-it"', 'webhook_token = "of-flow"')

    settings = load(path, only_receives=True)
    sides = open_sides(settings)

    assert {name for name, side in sides.items() if side.abilities.listener is not None} == {
        "shopify",
        "flow",
    }
    assert sorted(settings.secrets()) == sorted([NOT_GIVEN, NOT_GIVEN, "proves-it", "of-flow"])
    for side in sides.values():
        side.close()
    with pytest.raises(ConfigError, match="token"):
        load(path)


def test_given_settings_with_tokens_then_a_receiver_does_not_even_read_them(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'token_file = "nobody-has-this"\nclient_secret = "proves-it"',
        'token = "opens-flow"\nwebhook_token = "of-flow"',
    )

    found = set(load(path, only_receives=True).secrets())

    assert found == {NOT_GIVEN, "proves-it", "of-flow"}


@pytest.mark.parametrize("kind", list(registry.usable()), ids=lambda kind: kind.name)
def test_given_a_connector_that_says_what_proves_deliveries_then_these_are_secrets_of_its_table(
    kind: ConnectorType,
) -> None:
    fields = kind.section.model_fields

    assert all(is_secret(fields[key]) for key in kind.webhook_keys or ())
