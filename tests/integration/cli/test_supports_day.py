"""What support staff read on a working day: `transcripts/support.txt` is played."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cli.demo.control import Control
from tests.integration.transcript import Said, plain, play
from tests.support import Giftsync


class Typed(io.StringIO):
    """What a person types at a terminal, which shows it; and what a scanner sends, which nothing shows."""

    def __init__(self, text: str, *, shown: bool = True) -> None:
        super().__init__(text)
        self._shown = shown

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # As StringIO has it.
        line = super().readline(-1 if size is None else size)
        if self._shown:
            sys.stdout.write(line)
        return line


def test_given_supports_day_then_every_word_is_as_it_is_written_down(
    giftsync: Giftsync, flow: Control, shopify: Control, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[str] = []

    def before() -> None:
        """A card is bought online; one is sold in the store and used; giftsync is in step."""
        (waits,) = flow.call("pregenerate", count=1)["cards"]
        pool = config.with_name("pool.txt")
        pool.write_text(f"{waits['number']}\n", encoding="utf-8")
        giftsync("pool", "add", str(pool))
        numbers.append(str(flow.move("sell", 50_000)["number"]))
        shopify.move("purchase", 30_000, name="Ola Nordmann", email="ola@example.com")
        giftsync("sync")
        flow.move("redeem", 3_000, number=numbers[0])
        giftsync("sync")
        shopify.move("checkout", 12_050, code=numbers[0])
        giftsync("sync")

    def entered_by_hand() -> None:
        numbers.append(str(flow.move("sell", 60_000)["number"]))
        shopify.call("card", code=numbers[-1], balance="400.00")

    events: dict[str, Callable[[], object]] = {
        "A card for 300.00 was bought online, and one for 500.00 in the store, which was used twice.": (
            before
        ),
        "Somebody had entered a store card online by hand, with 400.00 instead of 600.00.": entered_by_hand,
        "The card from the counter disappears from the shop.": (
            lambda: shopify.call("delete", code=numbers[0])
        ),
        "A second card had been entered online by hand. This time she is walked through.": entered_by_hand,
    }

    def command(arguments: Sequence[str]) -> Said:
        typed = Typed("")
        if "-" in arguments:
            typed = Typed(f"{numbers[0]}\n", shown=False)
        elif list(arguments[:2]) == ["conflicts", "resolve"]:
            typed = Typed("2\nThe receipts say so\ny\n")
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", typed)
            code, out, err = giftsync(*arguments)
        said = plain(err + out, config.parent)
        assert not any(number in said for number in numbers)
        return Said(said, code)

    play("support", command, events)
