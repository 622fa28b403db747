"""The sides of a link: how many, of which types, under which names, and how an older file is rewritten."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cli.build import brands_by_side, open_sides, side_rules
from config.errors import ConfigError
from config.load import load
from config.rewrite import AS_IT_IS, OldForm
from config.template import render_toml
from connectors import installed as installed_types
from connectors import registry
from connectors.api.plugin import CONTRACT_VERSION, ConnectorType
from connectors.api.settings import SideSection, secrets_in
from connectors.api.side import place_of
from connectors.installed import GROUP, entry_points_by_name, installed, shipped, shipped_commands
from connectors.memory import CAPABILITIES
from connectors.memory.plugin import CONNECTOR as MEMORY
from mappings.lifecycle import CardStatus
from sandbox.registry import PLACES, emulated

LINK = '[link]\ntimezone = "Europe/Oslo"\n'
SHOP = 'connector = "shopify"\nshop = "{0}.myshopify.com"\ntoken = "token-of-{0}"\n'
STORE = 'connector = "flow"\ntenant = "t{0}"\nstore = "{0}"\ntoken = "token-of-store-{0}"\n'


def write(folder: Path, *sides: tuple[str, str], link: str = LINK) -> Path:
    path = folder / "giftsync.toml"
    path.write_text(link + "".join(f"[sides.{name}]\n{table}" for name, table in sides), encoding="utf-8")
    return path


def problems_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "token-of" not in str(caught.value)
    return str(caught.value)


def test_given_three_sides_of_two_types_then_each_is_built_under_its_own_name(tmp_path: Path) -> None:
    path = write(
        tmp_path, ("oslo", STORE.format(70)), ("bergen", STORE.format(71)), ("web", SHOP.format("kaffe"))
    )

    settings = load(path)
    sides = open_sides(settings)

    assert [(name, side.name) for name, side in sides.items()] == [
        ("oslo", "oslo"),
        ("bergen", "bergen"),
        ("web", "web"),
    ]
    assert [side.abilities.place.name for side in sides.values() if side.abilities.place] == [
        "Flow (oslo)",
        "Flow (bergen)",
        "Shopify",
    ]
    assert sorted(settings.secrets()) == ["token-of-kaffe", "token-of-store-70", "token-of-store-71"]


@pytest.mark.parametrize(
    ("first", "second", "where"),
    [
        (SHOP.format("kaffe"), SHOP.format("kaffe"), "the shop kaffe.myshopify.com"),
        # A card's number is the same card in every store of a tenant, unless the merchant says otherwise.
        (STORE.format(70), STORE.format(70).replace('store = "70"', 'store = "71"'), "Flow's tenant t70"),
        (STORE.format(70), STORE.format(70) + "own_cards = true\n", ""),
        (STORE.format(70), STORE.format(70) + 'extension_code = "STORE_CREDIT"\n', ""),
        (STORE.format(70), STORE.format(71), ""),
    ],
)
def test_given_two_sides_with_the_same_cards_then_they_make_no_link(
    first: str, second: str, where: str, tmp_path: Path
) -> None:
    settings = load(write(tmp_path, ("oslo", first), ("bergen", second)))

    if not where:
        assert [*open_sides(settings)] == ["oslo", "bergen"]
        return
    with pytest.raises(ConfigError) as caught:
        open_sides(settings)
    assert str(caught.value) == (
        f"[sides.bergen] has the cards of [sides.oslo]: both are in {where}. Each payment would count "
        "twice, so take one of the two out."
    )


@pytest.mark.parametrize("kind", PLACES)
def test_given_two_sides_of_one_type_then_no_message_calls_both_the_same(kind: str, tmp_path: Path) -> None:
    values: dict[tuple[str, ...], object] = {("link", "timezone"): "Europe/Oslo"}
    for number, name in enumerate(("oslo", "bergen"), start=7):
        access = dict.fromkeys(emulated(kind).access, str(number)) | {
            "url": f"http://127.0.0.1:{number}",
            "shop": f"{name}.myshopify.com",
            "currency": "NOK",
            "webhook_secret": "whsec_QUFBQUFBQUFBQUFBQUFBQQ==",
        }
        values |= {("sides", name, key): one for key, one in emulated(kind).settings(access, False).items()}
    path = tmp_path / "giftsync.toml"
    path.write_text(render_toml(values, sides={"oslo": kind, "bergen": kind}), "utf-8")

    first, second = (place_of(side) for side in open_sides(load(path)).values())

    assert first.name.endswith(" (oslo)")
    assert (first.name, second.name) == (first.name, first.name.replace("oslo", "bergen"))
    assert (first.where, second.where) == ("oslo", "bergen")
    assert len({first.at, second.at, first.screen, second.screen}) == 4


@pytest.mark.parametrize("count", [0, 1, 9])
def test_given_too_few_or_too_many_sides_then_it_is_told(tmp_path: Path, count: int) -> None:
    path = write(tmp_path, *((f"s{n}", 'connector = "memory"\n') for n in range(count)))

    assert "a link has 2 to 8 sides" in problems_of(path)


def test_given_eight_sides_then_it_is_a_link(tmp_path: Path) -> None:
    path = write(tmp_path, *((f"s{n}", 'connector = "memory"\n') for n in range(8)))

    assert len(open_sides(load(path))) == 8


@pytest.mark.parametrize("name", ["Oslo", "a__b", "copy", "link", "both", '"a b"', "_x", "n" * 31])
def test_given_a_name_that_is_used_otherwise_then_it_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, (name, 'connector = "memory"\n'), ("other", 'connector = "memory"\n'))

    assert "a side cannot have this name" in problems_of(path)


def test_given_an_unknown_connector_then_those_that_are_installed_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, ("a", 'connector = "kasse"\ntill = 1\n'), ("b", "till = 2\n"))

    words = problems_of(path)

    have = ", ".join(f'"{name}"' for name in installed())
    assert f'no connector "kasse" is installed; installed are: {have}' in words
    assert f"[sides.b] connector is missing. It must be one of {have}." in words


def test_given_a_side_that_tells_nobody_then_it_cannot_be_asked_to(tmp_path: Path) -> None:
    path = write(
        tmp_path, ("store", STORE.format(70) + "send_notifications = true\n"), ("web", SHOP.format("kaffe"))
    )

    with pytest.raises(ConfigError, match=r"\[sides.store\] send_notifications"):
        open_sides(load(path))


def test_given_a_side_to_be_believed_then_it_is_one_of_the_link(tmp_path: Path) -> None:
    sides = (("a", 'connector = "memory"\n'), ("b", 'connector = "memory"\nstore = "b"\n'))

    assert load(write(tmp_path, *sides, link=f'{LINK}first_contact = "b"\n')).link.first_contact == "b"
    words = problems_of(write(tmp_path, *sides, link=f'{LINK}first_contact = "c"\n'))
    assert '[link] first_contact must be "ask", "lower", "higher" or the name of a side.' in words


class TestOldForm:
    OLD = """database = "sqlite:///my.db"
[link]
timezone = "Europe/Oslo"
first_contact = "flow"
create_update_shopify_cards = false
download_shopify_cards = false
shopify_serial_prefix = "8800"
suspension = "deactivate"
template_suffixes = { Gavekort = "gift" }
excluded_brands = ["Tilgodelapp"]
[link.directions]
balance = "to_pos"
status = "off"
[link.brakes]
cards_per_hour = 5
[shopify]
shop = "kaffe.myshopify.com"
token = "token-of-kaffe"
[flow]
tenant = "7"
store = "70"
token_file = "flow.token"
webhook_token = "token-of-webhooks"
[notices]
webhook_url = "https://example.com/token-of-hook"
"""

    def test_given_an_old_file_then_it_is_told_and_its_new_text_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / "giftsync.toml"
        path.write_text(self.OLD, encoding="utf-8")

        with pytest.raises(OldForm) as caught:
            load(path)

        assert "Each side is a table [sides.NAME] now" in str(caught.value)
        assert "token-of" not in str(caught.value) + caught.value.text

    def test_given_the_new_text_then_it_says_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "giftsync.toml"
        path.write_text(self.OLD, encoding="utf-8")
        (tmp_path / "flow.token").write_text("another-token")
        with pytest.raises(OldForm) as caught:
            load(path)
        path.write_text(caught.value.text.replace(AS_IT_IS, "https://example.com/k"), encoding="utf-8")

        settings = load(path)

        flow, shopify = settings.sides.by_name().values()
        assert settings.database.endswith("/my.db")
        assert (settings.link.first_contact, settings.link.brakes.cards_per_hour) == ("flow", 5)
        assert (flow.connector, flow.serial_prefix, flow.excluded_brands) == ("flow", "8800", ["Tilgodelapp"])
        assert (flow.directions.balance, flow.directions.status) == ("in", "off")
        assert (shopify.create_update, shopify.download) == (False, False)
        assert (shopify.directions.balance, shopify.suspends_for_good) == ("out", True)
        assert shopify.brand_names == {"Gavekort": "gift"}


class TestRules:
    def section(self, **keys: object) -> SideSection:
        return SideSection.model_validate({"connector": "memory", **keys})

    def test_given_a_side_that_is_not_to_be_written_then_nothing_is(self) -> None:
        sections = {"a": self.section(create_update=False), "b": self.section()}

        rules = side_rules("a", CAPABILITIES, sections)

        assert (rules.creates, rules.debits, rules.credits, rules.sets_expiry) == (False,) * 4
        assert rules.sets_status == frozenset()
        assert side_rules("b", CAPABILITIES, sections).creates

    def test_given_only_one_side_shares_its_cards_then_cards_are_made_on_the_others(self) -> None:
        sections = {"a": self.section(), "b": self.section(download=False), "c": self.section(download=False)}

        made = {name: side_rules(name, CAPABILITIES, sections).creates for name in sections}

        assert made == {"a": False, "b": True, "c": True}
        assert [side_rules(name, CAPABILITIES, sections).shares for name in sections] == [True, False, False]

    def test_given_each_side_its_prefix_and_lengthening_then_they_are_its_own(self) -> None:
        sections = {
            "a": self.section(serial_prefix="9901"),
            "b": self.section(serial_prefix="", lengthen_short_numbers=True),
        }

        rules = [side_rules(name, CAPABILITIES, sections) for name in sections]

        assert [(one.serial_prefix, one.lengthens) for one in rules] == [("9901", False), (None, True)]
        assert rules[0].suspends_as is CardStatus.SUSPENDED

    def test_given_brands_by_side_then_a_side_without_names_uses_the_links(self) -> None:
        class Shop(SideSection):
            suffixes: dict[str, str]

            @property
            def brand_names(self) -> dict[str, str]:
                return self.suffixes

        sections = {
            "store": self.section(excluded_brands=["Bonus"]),
            "web": Shop(connector="memory", suffixes={"Gavekort": "gift"}),
            "pop": Shop(connector="memory", suffixes={"Gavekort": "present"}),
        }

        brands = brands_by_side(sections)

        assert brands.translate("store", "gavekort", "web") == "gift"
        assert brands.translate("web", "gift", "pop") == "present"
        assert brands.excludes("store", "bonus")
        assert not brands.excludes("web", "bonus")


class TestRegistry:
    def test_given_this_package_then_its_types_are_found_by_entry_points(self) -> None:
        assert {"flow", "giftlocal", "http", "lightspeed-x", "maestra", "memory", "shopify"} <= set(shipped())
        assert all(registry.connector_type(name).name == name for name in shipped())

    def test_given_the_types_that_ship_then_those_with_commands_are_known_without_an_import(self) -> None:
        types = [registry.connector_type(name) for name in shipped()]
        bring = {one.commands_name or one.name: one.name for one in types if one.commands is not None}
        assert shipped_commands() == bring

    @pytest.mark.parametrize(
        ("contract", "is_taken"),
        [
            (CONTRACT_VERSION, True),
            ((CONTRACT_VERSION[0], CONTRACT_VERSION[1] + 1), False),
            ((CONTRACT_VERSION[0] + 1, 0), False),
            ((CONTRACT_VERSION[0] - 1, 0), False),
        ],
    )
    def test_given_a_connector_of_another_contract_then_it_is_refused(
        self, contract: tuple[int, int], is_taken: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(ConnectorType("odd", "Odd", SideSection, MEMORY.build, contract), monkeypatch)

        if is_taken:
            assert registry.connector_type("odd").title == "Odd"
        else:
            with pytest.raises(registry.ConnectorUnusable, match="is written for contract"):
                registry.connector_type("odd")

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("no:CONNECTOR", r"\(no:CONNECTOR\) cannot be loaded: ModuleNotFoundError"),
            ("json:loads", "json:loads is no ConnectorType"),
            ("connectors.memory.plugin:CONNECTOR", 'its ConnectorType calls itself "memory"'),
        ],
    )
    def test_given_what_is_no_connector_of_that_name_then_it_says_so(
        self, value: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(value, monkeypatch)

        with pytest.raises(registry.ConnectorUnusable, match=f'the connector "odd".*{why}'):
            registry.connector_type("odd")
        assert "odd" not in [one.name for one in registry.usable()]

    def install(self, what: ConnectorType | str, monkeypatch: pytest.MonkeyPatch) -> None:
        known = dict(entry_points_by_name())
        value = what if isinstance(what, str) else f"{__name__}:ODD"
        monkeypatch.setitem(globals(), "ODD", what)
        point = EntryPoint("odd", value, GROUP)
        for module in (registry, installed_types):
            monkeypatch.setattr(module, "entry_points_by_name", lambda: {**known, "odd": point})
        monkeypatch.setattr(registry, "connector_type", registry.connector_type.__wrapped__)


def test_given_a_section_then_secrets_are_found_however_deep() -> None:
    class Inner(SideSection):
        pass

    shop = registry.connector_type("shopify").section.model_validate(
        {
            "connector": "shopify",
            "shop": "kaffe.myshopify.com",
            "token": "one-token",
            "client_secret": "two-secret",
        }
    )

    assert sorted(secrets_in({"a": [shop], "b": Inner(connector="memory")})) == ["one-token", "two-secret"]
