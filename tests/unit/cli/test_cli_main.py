"""The command line's edges: arguments, exit codes, and what every kind of error looks like."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.exc import OperationalError

from cli import main
from cli.__main__ import REFERENCE
from cli.errors import OperatorError, explain, naming, report
from cli.help_index import INDEX, recorded_help
from cli.output import ExitCode, Output, jsonable, plural, rows, table, when
from cli.reference import render_help_index, render_reference
from config.errors import ConfigError
from connectors import bugs
from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.secrets.vault import VaultError
from sync.model import InvariantBroken

SERIAL = "1234567890123456"


class TestArguments:
    def test_nothing_shows_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.run([]) == ExitCode.IN_STEP

        out = capsys.readouterr().out
        for command in ("demo", "sync", "run", "status", "cards", "conflicts", "pool", "config", "sandbox"):
            assert f"\n  {command}" in out

    @pytest.mark.parametrize(
        "arguments",
        [
            ["nonsense"],
            ["sync", "--nonsense"],
            ["cards", "show", "--id", "abc"],
            ["cards", "find", "one", "two"],
            ["demo", "--cards", "-1"],
        ],
    )
    def test_a_command_line_that_makes_no_sense_could_not_run(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main.run(arguments) == ExitCode.COULD_NOT_RUN

        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert "--help` lists what there is." in captured.err
        assert "Traceback" not in captured.err
        assert captured.out == ""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["books", "entries", "--from", "2026-13-01"], "'2026-13-01' is no date such as 2026-12-31"),
            (["conflicts", "resolve", "1", "nonsense", "--why", "x"], "'nonsense' is not one of"),
            (["conflicts", "show", "abc"], "'ID': it takes a whole number"),
        ],
    )
    def test_a_value_that_cannot_be_is_refused_in_plain_words(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main.run(arguments) == ExitCode.COULD_NOT_RUN

        err = capsys.readouterr().err
        assert said in err
        assert "Value error" not in err
        assert "%Y" not in err

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (["--config", "a.toml", "sync"], ["sync", "--config", "a.toml"]),
            (["--json", "--config=a.toml", "cards", "list"], ["cards", "list", "--json", "--config=a.toml"]),
            (["sync", "--config", "a.toml"], ["sync", "--config", "a.toml"]),
            (["--config"], ["--config"]),
        ],
    )
    def test_shared_options_may_stand_before_the_command(self, given: list[str], expected: list[str]) -> None:
        assert main._shared_last(given) == expected

    def test_with_json_an_error_is_one_object(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.run(["status", "--json", "--config", "nope.toml"]) == ExitCode.COULD_NOT_RUN

        answer = json.loads(capsys.readouterr().out)
        assert answer["error"].startswith("There is no file nope.toml.")
        assert answer["exit_code"] == 3


class TestHelp:
    def test_at_80_columns_every_command_has_a_whole_line(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert main.run(["help"]) == ExitCode.IN_STEP

        out = capsys.readouterr().out
        assert "..." not in out.partition("Commands:")[2]
        assert "\n  shopify     Commands of the connector shopify.\n" in out
        for name, later in main.COMMANDS.items():
            assert f"\n  {name.ljust(10)}  {later.help}\n" in out

    @pytest.mark.parametrize("arguments", [["--version"], ["help"], ["--help"]])
    def test_what_only_tells_about_giftsync_loads_no_ledger_and_no_connector(
        self, arguments: list[str]
    ) -> None:
        heavy = ("sqlalchemy", "pydantic", "requests", "structlog", "starlette", "alembic")
        code = f"""
import sys
from cli.main import run
assert run({arguments}) == 0
sys.exit(" ".join(name for name in {heavy} if name in sys.modules))
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr.strip()) in ((0, ""), (1, "")), ran.stderr

    def test_the_help_of_every_command_loads_no_command(self) -> None:
        code = """
import sys
from cli.help_index import _index
from cli.main import run
asked = [path.split() for path in _index()]
assert len(asked) > 60
for words in asked:
    assert run([*words, "--help"]) == run(["help", *words]) == run([*words, "-h"]) == 0
heavy = ("sqlalchemy", "pydantic", "requests", "structlog", "starlette", "alembic", "rich.console")
print("loaded:", *(name for name in sys.modules if name in heavy or name.startswith("cli.commands")))
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.endswith("\nloaded:\n")

    def test_commands_that_look_at_the_ledger_load_nothing_of_a_worker_a_client_or_a_printer(self) -> None:
        code = """
import sys
import cli.commands.cards, cli.commands.conflicts, cli.commands.status
heavy = ("psycopg", "requests", "tenacity", "reportlab", "jinja2", "alembic", "smtplib", "python_calamine")
heavy += ("sync.worker.worker", "sync.importer.apply")
print("loaded:", *(name for name in heavy if name in sys.modules))
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout) == (0, "loaded:\n"), ran.stderr

    @pytest.mark.parametrize("words", [["cards"], ["conflicts"]])
    def test_a_group_that_does_something_by_itself_does_it(self, words: list[str]) -> None:
        assert recorded_help(words) is None
        assert main.run(words) == ExitCode.COULD_NOT_RUN, "there is no giftsync.toml here"

    @pytest.mark.parametrize(
        "words", [["status"], ["import", "plan"], ["cards", "show"], ["shopify", "token"]]
    )
    def test_the_help_shown_is_what_the_command_itself_would_show(
        self, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "70")
        assert main.run([*words, "--help"]) == ExitCode.IN_STEP
        shown = capsys.readouterr().out
        monkeypatch.setattr("cli.main.recorded_help", lambda arguments: None)
        assert main.run([*words, "--help"]) == ExitCode.IN_STEP

        assert shown == capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 70

    @pytest.mark.parametrize(
        "arguments", [["conflicts", "nonsense"], ["status", "--nonsense"], ["status", "words"]]
    )
    def test_what_is_no_question_for_help_goes_to_the_command(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main.run(arguments) == ExitCode.COULD_NOT_RUN

        assert capsys.readouterr().err.startswith("error: ")

    def test_the_version_is_that_of_the_package(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.run(["--version"]) == ExitCode.IN_STEP

        assert capsys.readouterr().out == f"giftsync {metadata.version('giftsync')}\n"

    @pytest.mark.parametrize("command", [[], ["status"], ["conflicts", "list"]])
    def test_help_shows_what_the_option_shows(
        self, command: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main.run(["help", *command]) == ExitCode.IN_STEP
        by_command = capsys.readouterr().out
        assert main.run([*command, "--help"]) == ExitCode.IN_STEP

        assert by_command == capsys.readouterr().out
        assert by_command.startswith(" ".join(["Usage: giftsync", *command]))

    def test_help_for_no_command_at_all_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.run(["help", "nonsense"]) == ExitCode.COULD_NOT_RUN

        assert "No such command 'nonsense'" in capsys.readouterr().err

    def test_the_shell_is_told_the_commands(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("_GIFTSYNC_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "giftsync conflicts re")
        monkeypatch.setenv("COMP_CWORD", "2")

        with pytest.raises(SystemExit):
            main.run([])

        assert capsys.readouterr().out.split() == ["resolve"]


class TestReference:
    def test_the_reference_page_is_made_from_the_commands(self) -> None:
        page = Path(__file__).parents[3] / REFERENCE

        assert page.read_text(encoding="utf-8") == render_reference(), "run: python -m cli"

    def test_the_recorded_help_is_that_of_the_commands(self) -> None:
        assert INDEX.read_text(encoding="utf-8") == render_help_index(), "run: python -m cli"


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (OperatorError("the port is in use", "Choose another."), "the port is in use"),
            (ConfigError(["giftsync.toml: a is missing.", "giftsync.toml: b is missing."]), "a is missing."),
            (LedgerUnavailable("another worker is there"), "another worker is there"),
            (VaultError("the key is gone"), "the key is gone"),
            (SideClosed("the token is wrong", "Make another."), "the token is wrong"),
            (NotSent("no connection"), "no connection"),
            (Throttled("too fast", 12.0), "too fast"),
            (InDoubt("no answer"), "no answer"),
            (InvariantBroken("two leases"), "the ledger contradicts itself: two leases"),
            (OperationalError("SELECT secret", {}, Exception("disk I/O error")), "failed: disk I/O error"),
        ],
    )
    def test_an_operators_error_is_a_sentence_without_a_traceback(
        self, error: Exception, words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert report(error, Output()) == ExitCode.COULD_NOT_RUN

        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert words in captured.err
        assert "Traceback" not in captured.err
        assert "SELECT" not in captured.err
        assert captured.out == ""

    def test_what_to_do_next_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        report(SideClosed("the token is wrong", "Make another in Shopify Admin."), Output())

        assert "Make another in Shopify Admin." in capsys.readouterr().err

    def test_a_sides_error_names_the_side(self) -> None:
        with pytest.raises(OperatorError) as caught, naming("flow"):
            raise NotSent("no connection to the host could be made")

        assert str(caught.value) == "flow: no connection to the host could be made"
        assert "network" in caught.value.remedy

    def test_a_bug_is_shown_with_its_traceback_but_without_serials(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bug = KeyError(SERIAL)

        assert explain(bug) is None
        assert report(bug, Output()) == ExitCode.COULD_NOT_RUN

        err = capsys.readouterr().err
        assert "KeyError: '••••3456'" in err
        assert "giftsync has a bug (KeyError)." in err
        assert SERIAL not in err

    def test_a_bug_of_a_connector_is_reported_to_whoever_makes_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        point = EntryPoint("kassa", "giftsync_kassa:CONNECTOR", "giftsync.connectors")
        monkeypatch.setattr(bugs, "entry_points_by_name", lambda: {"kassa": point})
        there: dict[str, Any] = {"__name__": "giftsync_kassa"}
        exec(compile("def hints():\n    return {}['x']", "giftsync_kassa.py", "exec"), there)

        with pytest.raises(KeyError) as caught:
            there["hints"]()
        report(caught.value, Output())

        err = capsys.readouterr().err
        assert "the connector giftsync_kassa has a bug (KeyError)." in err
        assert "Please report it to its makers" in err
        assert bugs.where(caught.value) == "giftsync_kassa:2 hints"

    def test_ctrl_c_is_no_error(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(main, "app", interrupted)

        assert main.run(["sync"]) == 130
        assert capsys.readouterr().err == "Stopped.\n"


class TestOutput:
    def test_no_colour_and_no_folding_without_a_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        long = "x" * 150

        Output().show(rows(table("Name", title="Cards"), [(long,)]))

        out = capsys.readouterr().out
        assert long in out
        assert "\x1b" not in out

    def test_what_a_side_wrote_is_not_taken_for_markup(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = Output()
        output.show(rows(table("Note"), [("[red]a note[/red]",)]))
        output.say("[bold]said")

        out = capsys.readouterr().out
        assert "[red]a note[/red]" in out
        assert "[bold]said" in out

    def test_with_json_there_is_nothing_but_the_object(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = Output(as_json=True)
        output.say("words")
        output.show(rows(table("Note"), [("a",)]))
        output.emit("cards list", {"cards": 1}, ExitCode.CONFLICTS)

        assert json.loads(capsys.readouterr().out) == {
            "schema": "giftsync/cards-list/1",
            "cards": 1,
            "exit_code": 1,
        }

    def test_json_has_only_its_own_types(self) -> None:
        at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        value = {
            "at": at,
            "day": date(2026, 11, 23),
            "amount": Decimal("1.50"),
            "code": ExitCode.FAILED,
            "of": ({1},),
        }

        assert json.loads(json.dumps(jsonable(value))) == {
            "at": "2026-11-23T12:00:00+00:00",
            "day": "2026-11-23",
            "amount": "1.50",
            "code": 2,
            "of": [[1]],
        }

    def test_words(self) -> None:
        assert plural(1, "card") == "1 card"
        assert plural(2, "card") == "2 cards"
        assert plural(12_480, "card") == "12 480 cards"

    def test_given_a_moment_then_it_is_told_in_the_links_time_zone_which_is_named(self) -> None:
        at = datetime(2026, 11, 23, 13, 2, 11, tzinfo=UTC)

        assert when(at, ZoneInfo("Europe/Oslo")) == "2026-11-23 14:02:11 CET"
        assert when(at, ZoneInfo("America/Sao_Paulo")) == "2026-11-23 10:02:11 -03"
        assert when(None, UTC) == ""
