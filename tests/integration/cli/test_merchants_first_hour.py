"""What a merchant reads in the first hour with giftsync: `transcripts/merchant.txt` is played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cli import main
from cli.demo.control import Control
from tests.integration.transcript import Said, plain, play


def test_given_the_merchants_first_hour_then_every_word_is_as_it_is_written_down(
    flow: Control,
    shopify: Control,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(config.parent)
    config.chmod(0o600)
    sold: list[str] = []

    def both(store_minor: int, online_minor: int) -> None:
        flow.move("redeem", store_minor, number=sold[0])
        shopify.move("checkout", online_minor, code=sold[0])

    events: dict[str, Callable[[], None]] = {
        "A cashier sells a card for 500.00.": lambda: sold.append(str(flow.move("sell", 50_000)["number"])),
        "A customer pays 30.00 with it in the store and 120.50 online, before giftsync looks again.": (
            lambda: both(3_000, 12_050)
        ),
        "All that is left, 349.50, is spent in the store, and 49.50 of it online as well.": (
            lambda: both(34_950, 4_950)
        ),
    }

    def command(arguments: Sequence[str]) -> Said:
        code = main.run(list(arguments))
        captured = capsys.readouterr()
        return Said(plain(captured.err + captured.out, config.parent), code)

    play("merchant", command, events)
