"""What a merchant reads in the first hour with giftsync: `transcripts/merchant.txt` is played.

Lines that begin with `$` are commands; what follows is their output and exit code; `#` lines tell what
happens in the store and in the shop. What differs from run to run is named in angle brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cli import main
from cli.demo.control import Control

TRANSCRIPT = Path(__file__).parents[1] / "transcripts" / "merchant.txt"


def plain(text: str, folder: Path) -> str:
    """Without what is another one each time, and without spaces at the ends of lines."""
    text = text.replace(str(folder), "<folder>")
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} [A-Z]{3,4}", "<time>", text)
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "<date>", text)
    text = re.sub(r"(Seconds +)[0-9.]+", r"\1<seconds>", text)
    text = re.sub(r"less than a minute old|[0-9]+ minutes? old", "<age>", text)
    # A rule is as long as its table is wide, which depends on the folder's name.
    text = re.sub(r"─+", "───", text)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def played(script: str, command: Callable[[list[str]], str], events: Mapping[str, Callable[[], None]]) -> str:
    """The script with what its commands say now in place of what they said."""
    lines = []
    for line in script.splitlines():
        if line.startswith("# "):
            events[line[2:]]()
            lines += [line, ""]
        if line.startswith("$ "):
            _, *arguments = line[2:].split()
            lines += [line, command(arguments), ""]
    return "\n".join(lines)


def test_given_the_merchants_first_hour_then_every_word_is_as_it_is_written_down(
    flow: Control,
    shopify: Control,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    logging_as_before: None,
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

    def command(arguments: list[str]) -> str:
        code = main.run(arguments)
        captured = capsys.readouterr()
        return f"{plain(captured.err + captured.out, config.parent)}\nexit {code}"

    told = played(TRANSCRIPT.read_text(encoding="utf-8"), command, events)

    (config.parent / "told.txt").write_text(told, encoding="utf-8")
    assert told.splitlines() == TRANSCRIPT.read_text(encoding="utf-8").splitlines()
