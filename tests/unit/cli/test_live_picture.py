"""The live view: what it says, and that it fits the terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from cli.live.picture import TRAVELS_SHOWN, Picture, Travel
from cli.live.plot import bar, sparkline
from cli.places import Places
from connectors.api.capabilities import Place

AT = datetime(2026, 11, 28, 13, 2, 11, tzinfo=UTC)

PICTURE = Picture(
    headline="221 of 222 cards are the same on both sides.",
    well=False,
    corner="Buying and spending, 0:06 of 1:00",
    currency="NOK",
    zone=ZoneInfo("Europe/Oslo"),
    totals_minor={"flow": 17_451_784, "shopify": 17_595_259},
    apart_minor=[8_833_160, 3_800_000, 143_475],
    travels=[
        Travel(AT, "1234", -12_050, "shopify", ("flow",), 0.84),
        Travel(AT, "6330", 143_475, "flow", ("shopify",), None),
        Travel(AT, "0042", -100, "flow", (), None),
    ],
    lags=[0.8, 0.4, 1.6],
    lag_words="half within 0.8 s, 95 % within 1.6 s",
    lines=["99 movements (424 a minute), 0 payments refused"],
    places=Places(
        {
            "flow": Place("Flow", "Flow Admin", where="store", at="in the store"),
            "shopify": Place("Shopify", "Shopify Admin", where="online", at="online"),
        }
    ),
)


def drawn(picture: Picture, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(picture)
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_given_movements_then_each_says_card_amount_way_and_when_it_arrived() -> None:
    lines = drawn(PICTURE, 80)

    at = lines.index("Last movements")
    assert lines[at + 1 : at + 4] == [
        "14:02:11  ••••1234    -120.50 NOK  online → store   after 0.8 s",
        "14:02:11  ••••6330  +1 434.75 NOK  store → online   on its way",
        "14:02:11  ••••0042      -1.00 NOK  store            nothing to write",
    ]


def test_given_both_totals_then_the_bars_show_how_far_they_are_apart() -> None:
    store, online, apart = drawn(PICTURE, 80)[2:5]

    assert store.startswith("Store   174 517.84 NOK  ███")
    assert online.startswith("Online  175 952.59 NOK  ███")
    assert (store[-1], online[-1]) == ("▌", "█")
    assert apart == "Apart     1 434.75 NOK  █▄▁"


@pytest.mark.parametrize("width", [80, 120, 200])
def test_given_a_terminal_then_no_line_is_wider_and_the_longest_bar_fills_it(width: int) -> None:
    long = replace(PICTURE, apart_minor=range(1, 400), lags=[1.0] * 400, travels=[*PICTURE.travels] * 10)

    lines = drawn(long, width)

    assert max(len(line) for line in lines) <= width
    assert sum("••••" in line for line in lines) == TRAVELS_SHOWN
    assert any(len(line) == width and line.endswith("█") for line in lines)


def test_given_a_narrow_terminal_then_the_clock_goes_to_a_line_of_its_own() -> None:
    assert drawn(PICTURE, 60)[:2] == [PICTURE.headline, PICTURE.corner]
    assert drawn(PICTURE, 80)[0] == f"{PICTURE.headline}   {PICTURE.corner}"


def test_given_nothing_yet_then_it_says_so() -> None:
    lines = drawn(replace(PICTURE, travels=[], lags=[], lag_words="not measured yet", apart_minor=[]), 80)

    assert "none yet" in lines
    assert "Lag    not measured yet" in lines


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        ([], 10, ""),
        ([0, 0], 10, "▁▁"),
        ([0, 1, 2, 4], 10, "▁▃▅█"),
        ([9, 9, 1, 2], 2, "▅█"),
        ([1], 0, ""),
        ([-1, 1], 5, "▁█"),
    ],
)
def test_sparkline(values: list[float], width: int, expected: str) -> None:
    assert sparkline(values, width) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0, ""), (0.5, "██"), (0.53, "██▏"), (1, "████"), (2, "████"), (-1, "")]
)
def test_bar(share: float, expected: str) -> None:
    assert bar(share, 4) == expected
