"""The settings: what is read from where, and what is said about mistakes."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from config.__main__ import REFERENCE
from config.errors import ConfigError
from config.keys import tables
from config.load import key_path, load
from config.settings import Settings
from config.sides import settings_type
from config.template import render_reference, render_toml, template_types
from connectors.registry import connector_type

SHOPIFY_TOKEN = "shpat_0123456789abcdef0123456789abcdef"
FLOW_TOKEN = "flow-integration-token-77"

COMPLETE = f"""
[link]
timezone = "Europe/Oslo"
[sides.shopify]
connector = "shopify"
shop = "example.myshopify.com"
token = "{SHOPIFY_TOKEN}"
[sides.flow]
connector = "flow"
tenant = "7"
store = "70"
token = "{FLOW_TOKEN}"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GIFTSYNC_")]:
        monkeypatch.delenv(name)
    return tmp_path


def write(folder: Path, text: str, name: str = "giftsync.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def side(settings: Settings, name: str) -> Any:
    """The table of a side."""
    return settings.sides.by_name()[name]


def problems_of(path: Path | None = None) -> str:
    """What `load` complains about; no secret is ever in it."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    words = str(caught.value)
    assert SHOPIFY_TOKEN not in words
    assert FLOW_TOKEN not in words
    return words


class TestReading:
    def test_a_complete_file_is_enough(self, folder: Path) -> None:
        write(folder, COMPLETE)

        settings = load()

        assert side(settings, "shopify").shop == "example.myshopify.com"
        assert side(settings, "flow").token.get_secret_value() == FLOW_TOKEN
        assert settings.link.first_contact == "ask"

    def test_the_environment_wins_over_the_file(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(folder, COMPLETE)
        monkeypatch.setenv("GIFTSYNC_SIDES__FLOW__TOKEN", "from-the-environment")
        monkeypatch.setenv("GIFTSYNC_LINK__QUIET_SECONDS", "7")

        settings = load()

        assert side(settings, "flow").token.get_secret_value() == "from-the-environment"
        assert settings.link.quiet_seconds == 7.0

    def test_the_environment_alone_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            "LINK__TIMEZONE": "Europe/Oslo",
            "SIDES__SHOPIFY__SHOP": "example.myshopify.com",
            "SIDES__SHOPIFY__TOKEN": SHOPIFY_TOKEN,
            "SIDES__FLOW__TENANT": "7",
            "SIDES__FLOW__STORE": "70",
            "SIDES__FLOW__TOKEN": FLOW_TOKEN,
            "SIDES__FLOW__CONNECTOR": "flow",
            "SIDES__SHOPIFY__CONNECTOR": "shopify",
        }.items():
            monkeypatch.setenv(f"GIFTSYNC_{name}", value)

        assert side(load(), "flow").store == "70"

    def test_a_token_may_be_in_a_file_beside_the_settings(self, folder: Path) -> None:
        (folder / "conf").mkdir()
        (folder / "conf" / "flow.token").write_text(f"{FLOW_TOKEN}\n")
        text = COMPLETE.replace(f'token = "{FLOW_TOKEN}"', 'token_file = "flow.token"')
        path = write(folder / "conf", text)

        assert side(load(path), "flow").token.get_secret_value() == FLOW_TOKEN

    def test_a_token_file_of_the_environment_wins_over_a_token_of_the_file(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(folder, COMPLETE)
        (folder / "other.token").write_text("another-token")
        monkeypatch.setenv("GIFTSYNC_SIDES__FLOW__TOKEN_FILE", "other.token")

        assert side(load(), "flow").token.get_secret_value() == "another-token"

    def test_a_relative_ledger_is_beside_the_settings_wherever_giftsync_is_started(
        self, folder: Path
    ) -> None:
        (folder / "conf").mkdir()
        path = write(folder / "conf", COMPLETE)

        settings = load(path)

        assert settings.database == f"sqlite:///{folder}/conf/giftsync.db"
        assert key_path(settings) == folder / "conf" / "giftsync.key"

    def test_an_absolute_ledger_stays_where_it_is(self, folder: Path) -> None:
        write(folder, f'database = "sqlite:////srv/ledger.db"\nkey_file = "my.key"\n{COMPLETE}')

        settings = load()

        assert settings.database == "sqlite:////srv/ledger.db"
        assert key_path(settings) == folder / "my.key"

    def test_no_secret_shows_when_settings_are_printed(self, folder: Path) -> None:
        write(folder, COMPLETE)

        settings = load()

        for text in (repr(settings), str(settings), settings.model_dump_json()):
            assert SHOPIFY_TOKEN not in text
            assert FLOW_TOKEN not in text


class TestMistakes:
    def test_no_file(self) -> None:
        assert problems_of() == (
            "There is no giftsync.toml here. Make one with `giftsync config init`, or name one with --config."
        )

    def test_a_named_file_that_is_not_there(self, folder: Path) -> None:
        assert "There is no file nope.toml." in problems_of(Path("nope.toml"))

    def test_a_folder_for_a_file(self, folder: Path) -> None:
        assert "cannot be read: Is a directory" in problems_of(folder)

    def test_text_that_is_not_toml(self, folder: Path) -> None:
        write(folder, f"[sides.flow]\ntoken = {FLOW_TOKEN}\n")

        assert problems_of().startswith("giftsync.toml is not well-formed TOML: ")

    def test_bytes_that_are_not_text(self, folder: Path) -> None:
        (folder / "giftsync.toml").write_bytes(b"\xff\xfe[flow]")

        assert "not a text file" in problems_of()

    def test_everything_that_is_missing_is_told_at_once(self, folder: Path) -> None:
        write(folder, '[link]\ntimezone = "Europe/Oslo"\n[sides.flow]\nconnector = "flow"\ntenant = "7"\n')

        words = problems_of()

        assert "giftsync.toml: [sides.flow] store is missing. It must be the store's uid." in words
        assert (
            "giftsync.toml: [sides.flow] token is missing. Put the integration token there, or `token_file` "
            "with a path, or set GIFTSYNC_SIDES__FLOW__TOKEN." in words
        )
        assert "giftsync.toml: a link has 2 to 8 sides" in words

    def test_a_fresh_template_says_which_keys_are_to_be_filled_in(self, folder: Path) -> None:
        write(folder, render_toml())

        words = problems_of()

        for key in (
            "[link] timezone",
            "[sides.shopify] shop",
            "[sides.flow] tenant",
            "[sides.flow] store",
            "[sides.flow] token",
        ):
            assert f"giftsync.toml: {key} is empty." in words

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("[sides.flow]\ntokn", "giftsync.toml: [sides.flow] tokn is not a setting; did you mean token"),
            (
                "[sides.flow]\nquiet_seconds",
                "[sides.flow] quiet_seconds is not a setting here; it belongs in [link]",
            ),
            ("[wrker]\nx", "giftsync.toml: wrker is not a setting; did you mean worker"),
            ("[nothing_like_it]\nx", "giftsync.toml: nothing_like_it is not a setting."),
        ],
    )
    def test_an_unknown_key(self, folder: Path, line: str, words: str) -> None:
        table, _, key = line.partition("\n")
        value = f'{key} = "{FLOW_TOKEN}"'
        text = (
            COMPLETE.replace(table, f"{table}\n{value}")
            if table in COMPLETE
            else f"{COMPLETE}{table}\n{value}"
        )
        write(folder, text)

        assert words in problems_of()

    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            ('"Europe/Oslo"', '"Oslo"', '[link] timezone must be an IANA name such as "Europe/Oslo".'),
            ('"Europe/Oslo"', '"../etc/passwd"', "[link] timezone must be"),
            ('timezone = "Europe/Oslo"', 'timezone = "UTC"\ncurrency = "kr"', 'such as "NOK".'),
            (
                'timezone = "Europe/Oslo"',
                'timezone = "UTC"\nfirst_contact = "both"',
                '"ask", "lower", "higher" or the name of a side.',
            ),
            ('timezone = "Europe/Oslo"', 'timezone = "UTC"\nquiet_seconds = -1', "seconds, from 0 to 3600."),
            (
                'store = "70"',
                'store = "70"\nserial_prefix = "99"',
                "[sides.flow] serial_prefix must be four digits",
            ),
            (
                '"example.myshopify.com"',
                '"example.com"',
                "[sides.shopify] shop must be the shop's permanent name",
            ),
            ('store = "70"', "store = 70", "[sides.flow] store must be the store's uid."),
            ('store = "70"', 'store = "7/0"', "[sides.flow] store must be the store's uid."),
            (f'"{FLOW_TOKEN}"', '"two words"', "[sides.flow] token must be the integration token."),
            (f'"{FLOW_TOKEN}"', '["a", "list"]', "[sides.flow] token must be the integration token."),
            ('store = "70"', 'store = "70"\ngift_card_product_uids = "901"', "must be a table such as"),
        ],
    )
    def test_a_value_of_the_wrong_form(self, folder: Path, before: str, after: str, words: str) -> None:
        write(folder, COMPLETE.replace(before, after))

        found = problems_of()

        assert words in found
        assert found.startswith("giftsync.toml: ")

    def test_a_table_that_is_a_value(self, folder: Path) -> None:
        write(folder, f'worker = "{FLOW_TOKEN}"\n{COMPLETE}')

        assert problems_of() == "giftsync.toml: worker must be a table, written as [worker]."

    def test_a_secret_twice(self, folder: Path) -> None:
        write(folder, COMPLETE + 'token_file = "flow.token"\n')

        assert "sides.flow has both token and token_file; keep one of them" in problems_of()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(None, "No such file or directory"), (b"", "it is empty"), (b"\xff\xfe", "it is not plain text")],
    )
    def test_a_secret_file_that_cannot_be_used(
        self, folder: Path, content: bytes | None, reason: str
    ) -> None:
        if content is not None:
            (folder / "flow.token").write_bytes(content)
        write(folder, COMPLETE.replace(f'token = "{FLOW_TOKEN}"', 'token_file = "flow.token"'))

        words = problems_of()

        assert words.startswith("giftsync.toml: [sides.flow] token_file: ")
        assert reason in words

    def test_the_key_does_not_belong_in_the_file(self, folder: Path) -> None:
        write(folder, f'key = "{SHOPIFY_TOKEN}"\n{COMPLETE}')

        assert "key does not belong in the file; set GIFTSYNC_KEY, or use key_file" in problems_of()

    def test_the_environment_is_named_when_it_is_at_fault(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(folder, COMPLETE)
        monkeypatch.setenv("GIFTSYNC_WORKER__THREADS", SHOPIFY_TOKEN)

        assert problems_of() == (
            "the environment variable GIFTSYNC_WORKER__THREADS must be a whole number from 1 to 64."
        )

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("GIFTSYNC_WRKER__THREADS", "GIFTSYNC_WRKER__THREADS is not a setting; did you mean worker"),
            (
                "GIFTSYNC_SIDES__SHOPIFY__TOKN",
                "GIFTSYNC_SIDES__SHOPIFY__TOKN is not a setting; did you mean token",
            ),
            ("GIFTSYNC_LINK", "cannot set a whole table"),
        ],
    )
    def test_a_variable_that_says_nothing(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
    ) -> None:
        write(folder, COMPLETE)
        monkeypatch.setenv(name, SHOPIFY_TOKEN)

        assert words in problems_of()


#: The settings of a link that has a side of every type.
EVERYTHING = settings_type({name: connector_type(name).section for name in template_types()})


class TestDocumentation:
    def test_every_key_says_what_it_is_and_what_is_expected(self) -> None:
        for table in tables(EVERYTHING):
            assert table.description or not table.name
            for key in table.keys:
                assert key.description.endswith((".", ")")), key.path
                assert key.form != "text", key.path

    def test_the_template_explains_every_key(self) -> None:
        text = render_toml()

        for table in tables(EVERYTHING):
            for key in table.keys:
                # The key itself is no setting of the file.
                assert (f"\n{key.name} = " in text or f"\n# {key.name} =" in text) == (
                    key.env != "GIFTSYNC_KEY"
                )

    def test_the_template_is_toml_and_uncommented_defaults_are_the_defaults(self, folder: Path) -> None:
        values = {
            ("link", "timezone"): "Europe/Oslo",
            ("sides", "shopify", "shop"): "example.myshopify.com",
            ("sides", "shopify", "token"): SHOPIFY_TOKEN,
            ("sides", "flow", "tenant"): "7",
            ("sides", "flow", "store"): "70",
            ("sides", "flow", "token"): FLOW_TOKEN,
        }
        given = {
            **values,
            **{
                key.path: tomllib.loads(f"x = {key.default}")["x"]
                for table in tables(EVERYTHING)
                for key in table.keys
                if key.default is not None
            },
        }
        plain = load(write(folder, render_toml(values), "plain.toml"))
        spelt_out = load(write(folder, render_toml(given), "spelt_out.toml"))

        assert plain == spelt_out

    def test_the_reference_page_is_made_from_the_settings(self) -> None:
        page = Path(__file__).parents[3] / REFERENCE

        assert page.read_text(encoding="utf-8") == render_reference(), "run: python -m config"


class TestNotifications:
    ON = COMPLETE.replace("[sides.shopify]", "[sides.shopify]\nsend_notifications = true")

    def test_what_attaching_a_customer_does_must_be_said(self, folder: Path) -> None:
        write(folder, self.ON)

        assert "[sides.shopify] attaching_notifies is missing. It must be true or false." in problems_of()

    @pytest.mark.parametrize("attaching", ["true", "false"])
    def test_said_it_is_enough(self, folder: Path, attaching: str) -> None:
        write(
            folder, self.ON.replace("[sides.shopify]", f"[sides.shopify]\nattaching_notifies = {attaching}")
        )

        assert side(load(), "shopify").send_notifications

    def test_it_is_told_together_with_what_else_is_missing(self, folder: Path) -> None:
        write(folder, self.ON.replace("[sides.shopify]", '[sides.shopify]\nauth = "client_credentials"'))

        problems = problems_of()

        for key in ("client_id", "client_secret", "attaching_notifies"):
            assert f"[sides.shopify] {key} is missing." in problems


class TestBooleans:
    @pytest.mark.parametrize("value", ['"no"', '"off"', '"0"', "0", "1", '"yes"', '"n"', '""'])
    def test_nothing_but_true_and_false_is_one(self, folder: Path, value: str) -> None:
        write(folder, COMPLETE.replace("[sides.flow]", f"[sides.flow]\nsend_notifications = {value}"))

        assert "[sides.flow] send_notifications must be true or false." in problems_of()

    @pytest.mark.parametrize(("text", "expected"), [("true", True), ("FALSE", False)])
    def test_the_environment_says_it_in_words(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
    ) -> None:
        write(folder, COMPLETE)
        monkeypatch.setenv("GIFTSYNC_SIDES__FLOW__LENGTHEN_SHORT_NUMBERS", text)

        assert side(load(), "flow").lengthen_short_numbers is expected
