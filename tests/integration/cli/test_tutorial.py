"""The tutorial is followed word by word: its commands are given, and answer what stands under them.

What differs from run to run (times, amounts of time, random numbers) is compared as to its form only.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests

from cli import main
from cli.emulators import Address, SandboxOptions

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorial" / "first-sync.md"
#: Whoever follows the tutorial is in this folder.
FOLDER = "/home/you/try"
SERVE = "giftsync sandbox serve --shopify-port 8101 --flow-port 8102 | tee ready.json"
#: These go on until they are stopped.
ENDLESS = (SERVE, "giftsync run")


@dataclass
class Shell:
    """What the tutorial needs of one. Answers what the command prints."""

    address: Address
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    #: The first card that is sold.
    number: str = field(default="", init=False)

    def run(self, line: str) -> str:
        words = shlex.split(line.replace("NUMBER", self.number).replace("MONTH", last_month()))
        files = {words[at]: words[at + 1] for at in range(len(words)) if words[at] in "<>"}
        words = words[: min((at for at, word in enumerate(words) if word in "<>"), default=len(words))]
        match words:
            case ["giftsync", *arguments]:
                said = self._giftsync(arguments, files.get("<"))
            case ["curl", "-s", url, *data]:
                said = self._curl(url, data[1] if data else None)
            case ["chmod", mode, name]:
                (self.folder / name).chmod(int(mode, 8))
                said = ""
            case _:
                raise AssertionError(f"nobody knows what this does: {line}")
        if ">" in files:
            (self.folder / files[">"]).write_text(said, encoding="utf-8")
            return ""
        return said.replace(str(self.folder), FOLDER)

    def _giftsync(self, arguments: list[str], given: str | None) -> str:
        with self.monkeypatch.context() as patch:
            if given is not None:
                patch.setattr("sys.stdin", io.StringIO((self.folder / given).read_text(encoding="utf-8")))
            assert main.run(arguments) == 0
        captured = self.capsys.readouterr()
        assert captured.err == ""
        return captured.out

    def _curl(self, url: str, data: str | None) -> str:
        for port, side in (("8101", self.address.shopify_url), ("8102", self.address.flow_url)):
            url = url.replace(f"http://127.0.0.1:{port}", side)
        # A reader takes seconds, and the shops tell whole ones: the store sells its cards before giftsync
        # begins, and the web shop after it.
        for call, clock in (("/sell", {"step_s": -2}), ("/purchase", {"pass_s": 2})):
            if url.endswith(call):
                turned = requests.post(url.removesuffix(call) + "/clock", json=clock, timeout=10)
                turned.raise_for_status()
        answer = requests.get(url, timeout=10) if data is None else requests.post(url, data=data, timeout=10)
        assert answer.status_code == 200, answer.text
        if url.endswith("/sell"):
            self.number = self.number or answer.json()["number"]
        return answer.text + "\n"


def last_month() -> str:
    """The one that is over, as the sandbox's shops have it."""
    first = datetime.now(ZoneInfo("Europe/Oslo")).date().replace(day=1)
    return f"{first - timedelta(days=1):%Y-%m}"


def form(text: str) -> list[str]:
    """The words, with what is another one each time told by its form."""
    for pattern, name in (
        (r"\d{4}-\d\d-\d\d\s+\d\d:\d\d:\d\d [A-Z]{3,4}", "TIME"),
        (r"\d{1,2} [A-Z][a-z]+ \d{4}", "DAY"),
        (r"at\s+\d\d:\d\d(:\d\d)?", "at CLOCK"),
        (r"\b\d{4}-\d\d-\d\d\b", "DATE"),
        (r"\b\d{4}-\d\d\b", "MONTH"),
        (r"the key [0-9a-f ]{19}; SHA-256\s+[0-9a-f]{64}", "SIGNED"),
        (r"(Seconds +)[0-9.]+", r"\1SECONDS"),
        (r"((?:Hints read|Cards looked at|Cards worked on) +)[0-9]+", r"\1COUNT"),
        (r"gs-[a-z0-9]{16}", "MARK"),
        (r"gid://shopify/(\w+)/\d+", r"\1 ID"),
        (r"••••[0-9a-z]{4}", "ENDS"),
        (r"\b\w \w \w \w\b", "E N D S"),
        (r"─+", "RULE"),
    ):
        text = re.sub(pattern, name, text)
    return text.split()


def blocks() -> Iterator[tuple[list[str], str | None]]:
    """The commands of each block, and what stands under them as their answer."""
    found = re.findall(r"```(sh)?\n(.*?)```\n", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    for at, (kind, text) in enumerate(found):
        if kind:
            under = found[at + 1] if at + 1 < len(found) else ("sh", "")
            yield text.splitlines(), None if under[0] else under[1]


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    """As `sandbox serve` has them."""
    return SandboxOptions()


def test_given_the_tutorial_then_every_command_answers_what_stands_under_it(
    address: Address,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ready.json").write_text(json.dumps(address.sides) + "\n", encoding="utf-8")
    shell = Shell(address, capsys, monkeypatch, tmp_path)
    compared = 0

    for commands, under in blocks():
        if commands[0] in ENDLESS:
            continue
        answers = "".join(shell.run(command) for command in commands)
        if under is not None:
            assert form(answers) == form(under)
            compared += 1
        else:
            assert answers == "", f"the answer of {commands} is not told"
    assert compared >= 11
