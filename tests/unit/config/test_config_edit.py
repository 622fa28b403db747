"""A settings file is changed by a value, and keeps everything that a person wrote."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from config.edit import Value, edit
from config.errors import ConfigError

TEXT = """# The shop in Storgata.
database = "sqlite:///giftsync.db"   # next to this file

[link]
timezone = "Europe/Oslo"
# overdraft = "ask"

[link.brakes]
cards_per_hour = 10_000  # agreed in May

[sides.web]
connector = "shopify"
token = "secret"
"""


def test_given_a_value_that_is_there_then_it_alone_changes() -> None:
    changed = edit(TEXT, {("link", "brakes", "cards_per_hour"): Decimal(50)})

    assert changed == TEXT.replace("10_000", "50")


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        (("link", "overdraft"), "write_off", "write_off"),
        (("link", "brakes", "money_per_hour"), Decimal("1000.50"), "1000.50"),
        (("sides", "web", "download"), False, False),
        (("sides", "web", "directions", "balance"), "in", "in"),
        (("sides", "web", "excluded_brands"), ["Tilgodelapp", 'a "b"'], ["Tilgodelapp", 'a "b"']),
        (("sides", "till", "download"), True, True),
    ],
)
def test_given_a_value_that_is_new_then_every_old_line_stays(
    path: tuple[str, ...], value: Value, read: object
) -> None:
    changed = edit(TEXT, {path: value})

    found = tomllib.loads(changed)
    for name in path:
        found = found[name]
    assert found == read
    assert [line for line in TEXT.splitlines() if line not in changed.splitlines()] == []


def test_given_a_value_that_is_left_out_then_its_line_goes_and_no_other() -> None:
    changed = edit(TEXT, {("link", "brakes", "cards_per_hour"): None, ("link", "first_contact"): None})

    assert changed == TEXT.replace("cards_per_hour = 10_000  # agreed in May\n", "")


def test_given_windows_line_ends_then_they_stay() -> None:
    text = TEXT.replace("\n", "\r\n")

    assert edit(text, {("link", "timezone"): "UTC"}) == text.replace("Europe/Oslo", "UTC")


@pytest.mark.parametrize("text", ["not toml =", 'link = "a word"\n'])
def test_given_a_file_that_cannot_be_changed_then_it_says_so(text: str) -> None:
    with pytest.raises(ConfigError):
        edit(text, {("link", "overdraft"): "ask"})
