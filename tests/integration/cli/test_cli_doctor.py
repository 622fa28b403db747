"""`giftsync doctor` and `giftsync shopify` as a newcomer meets them, on both emulators."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from cli.build import open_sides
from cli.demo.control import Control
from cli.demo.thread import sandbox_thread
from cli.emulators import Address, SandboxOptions
from cli.sandbox_config import Pace, sandbox_toml, sandbox_values
from config.load import load
from config.template import render_toml
from tests.support import Giftsync

PACE = Pace(quiet_seconds=0, poll_seconds=1)
FLAGS = (
    "api_settlement_debits",
    "api_issue_allowed",
    "caller_may_choose_number",
    "refund_settlement_credits",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "giftsync.toml"


def write(config: Path, address: Address, without: tuple[str, ...] = (), **changes: Any) -> None:
    """The sandbox's settings, some of them left out or changed; `shopify__auth` is [shopify] auth."""
    values = {path: value for path, value in sandbox_values(address, PACE).items() if path[-1] not in without}
    for name, value in changes.items():
        table, key = name.split("__")
        values[(table, key) if table == "link" else ("sides", table, key)] = value
    config.write_text(render_toml(values), encoding="utf-8")


def secrets_of(address: Address) -> tuple[str, ...]:
    return (
        address.sides["shopify"]["token"],
        address.sides["shopify"]["api_secret"],
        address.sides["flow"]["token"],
    )


def finding(answer: dict[str, Any], side: str, point: str) -> dict[str, Any]:
    (found,) = [one for one in answer["findings"] if (one["side"], one["point"]) == (side, point)]
    return dict(found)


def sold_card(address: Address, amount_minor: int = 250_00) -> str:
    """A card that both sides have."""
    number = str(Control(address.flow_url, "NOK").move("sell", amount_minor)["number"])
    document = """mutation ($code: String!) { giftCardCreate(input: {code: $code,
        initialAmount: {amount: "250.00", currencyCode: NOK}}) { userErrors { message } } }"""
    answer = requests.post(
        f"{address.shopify_url}/admin/api/2026-10/graphql.json",
        json={"query": document, "variables": {"code": number}},
        headers={"X-Shopify-Access-Token": address.sides["shopify"]["token"]},
        timeout=10,
    ).json()
    assert answer["data"]["giftCardCreate"]["userErrors"] == []
    return number


def test_a_link_in_order(giftsync: Giftsync, config: Path, address: Address) -> None:
    config.write_text(sandbox_toml(address, PACE), encoding="utf-8")
    code, out, err = giftsync("doctor")
    assert code == 1, err
    assert "Flow accepts the integration token." in out
    assert "The link runs both ways." in out
    assert "Both sides keep their cards in NOK." in out
    assert "The link can run, with 1 warning." in out
    assert not (config.parent / "giftsync.db").exists()
    for secret in secrets_of(address):
        assert secret not in out + err


def test_json_has_every_finding_and_nothing_else(giftsync: Giftsync, config: Path, address: Address) -> None:
    write(config, address)
    code, out, _ = giftsync("doctor", "--json", "--side", "shopify")
    answer = json.loads(out)
    assert answer["exit_code"] == code
    assert {one["side"] for one in answer["findings"]} == {"shopify"}
    assert set(answer["findings"][0]) == {"side", "point", "verdict", "sentence", "remedy", "evidence"}
    assert finding(answer, "shopify", "currency")["evidence"] == {"currency": "NOK"}
    assert answer["probe"] == []


@pytest.mark.parametrize(
    ("change", "side", "point"),
    [
        ({"shopify__token": "shpat_wrong"}, "shopify", "token"),
        ({"flow__token": "wrong-token"}, "flow", "token"),
        ({"shopify__shop": "te.myshopify.com"}, "shopify", "shop"),
        ({"flow__tenant": "8"}, "flow", "connection"),
        ({"link__currency": "EUR"}, "shopify", "currency"),
        ({"shopify__url": "http://127.0.0.1:9"}, "shopify", "connection"),
    ],
)
def test_what_is_missing_stops_the_link_and_comes_with_a_remedy(
    giftsync: Giftsync, config: Path, address: Address, change: dict[str, Any], side: str, point: str
) -> None:
    write(config, address, **change)
    code, out, err = giftsync("doctor", "--json")
    assert code == 3
    found = finding(json.loads(out), side, point)
    assert found["verdict"] == "missing"
    assert found["remedy"]
    for secret in (*secrets_of(address), "shpat_wrong", "wrong-token"):
        assert secret not in out + err


def test_a_ledger_of_another_shop_is_named(giftsync: Giftsync, config: Path, address: Address) -> None:
    write(config, address)
    assert giftsync("sync")[0] == 0
    with sandbox_thread(SandboxOptions(currency="SEK")) as other:
        write(config, other)
        code, out, _ = giftsync("doctor", "--json")
    assert code == 3
    assert "NOK" in finding(json.loads(out), "shopify", "ledger")["sentence"]


class TestProbe:
    def test_a_card_and_a_yes_are_needed(self, giftsync: Giftsync, config: Path, address: Address) -> None:
        write(config, address)
        code, _, err = giftsync("doctor", "--probe")
        assert code == 3
        assert "--card" in err
        code, _, err = giftsync("doctor", "--probe", "--card", sold_card(address))
        assert code == 3
        assert "Add --yes" in err

    def test_what_it_proves_is_switched_on_and_kept(
        self, giftsync: Giftsync, config: Path, address: Address
    ) -> None:
        write(config, address, without=FLAGS)
        number = sold_card(address)
        # Shopify's search shows a new card after a while.
        self.wait_for_the_search(address, number)
        before = json.loads(giftsync("doctor", "--json")[1])
        assert "Shopify-ward only" in finding(before, "flow", "directions")["sentence"]
        assert not open_sides(load(config))["flow"].capabilities.debits

        code, out, err = giftsync("doctor", "--probe", "--card", number, "--yes", "--json")

        after = json.loads(out)
        assert code == 1, err
        assert finding(after, "flow", "inferred.api_settlement_debits")["evidence"] == {
            "on": True,
            "proved": True,
        }
        assert finding(after, "shopify", "transaction_notes")["verdict"] == "ok"
        assert {one["side"] for one in after["probe"]} == {"flow", "shopify"}
        capabilities = open_sides(load(config))["flow"].capabilities
        assert (capabilities.debits, capabilities.credits, capabilities.creates) == (True, True, False)
        for url in (address.flow_url, address.shopify_url):
            (card,) = requests.get(f"{url}/_sandbox/cards", timeout=10).json()
            assert card["balance"] == "250.00"
        stored = b"".join(path.read_bytes() for path in config.parent.iterdir() if path != config)
        for secret in (*secrets_of(address), number):
            assert secret not in out + err
            assert secret.encode() not in stored

    def test_verdicts_on_another_tenant_do_not_count(
        self, giftsync: Giftsync, config: Path, address: Address
    ) -> None:
        write(config, address, without=FLAGS)
        giftsync("doctor", "--probe", "--card", sold_card(address), "--yes", "--side", "flow")
        assert open_sides(load(config))["flow"].capabilities.debits
        write(config, address, without=FLAGS, flow__store="71")
        assert not open_sides(load(config))["flow"].capabilities.debits

    def test_a_side_that_is_away_takes_nothing_away_from_what_is_proved(
        self,
        giftsync: Giftsync,
        config: Path,
        address: Address,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        write(config, address, without=FLAGS)
        number = sold_card(address)
        # From standard input the number is in no shell's history.
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{number}\n"))
        code, out, err = giftsync("doctor", "--probe", "--card", "-", "--yes", "--side", "flow")
        assert code == 1, err
        write(config, address, without=FLAGS, flow__url="http://127.0.0.1:9/v2")
        code, out, err = giftsync("doctor", "--probe", "--card", number, "--yes", "--side", "flow")
        assert code == 3
        assert "Not tried to the end" in out
        write(config, address, without=FLAGS)
        assert open_sides(load(config))["flow"].capabilities.debits
        assert number not in out + err

    def test_a_worker_is_not_disturbed(self, giftsync: Giftsync, config: Path, address: Address) -> None:
        from cli.build import open_ledger
        from sync.ledger.database.engine import only_worker

        write(config, address)
        with open_ledger(load(config)) as ledger, only_worker(ledger.engine):
            code, _, err = giftsync("doctor", "--probe", "--card", sold_card(address), "--yes")
        assert code == 3
        assert "another giftsync worker" in err

    def wait_for_the_search(self, address: Address, number: str) -> None:
        document = "query ($q: String!) { giftCards(first: 1, query: $q) { nodes { id } } }"
        pause = threading.Event()
        for _ in range(100):
            answer = requests.post(
                f"{address.shopify_url}/admin/api/2026-10/graphql.json",
                json={"query": document, "variables": {"q": number}},
                headers={"X-Shopify-Access-Token": address.sides["shopify"]["token"]},
                timeout=10,
            ).json()
            if answer["data"]["giftCards"]["nodes"]:
                return
            pause.wait(0.1)
        raise AssertionError("the search does not show the card")


class TestToken:
    def test_a_permanent_token(self, giftsync: Giftsync, config: Path, address: Address) -> None:
        write(config, address)
        code, out, _ = giftsync("shopify", "token", "--json")
        assert code == 0
        answer = json.loads(out)
        assert answer["kind"] == "token"
        assert "write_gift_cards" in answer["scopes"]
        assert address.sides["shopify"]["token"] not in out

    def test_client_credentials(self, giftsync: Giftsync, config: Path, address: Address) -> None:
        write(config, address, shopify__auth="client_credentials")
        code, _, err = giftsync("shopify", "token")
        assert code == 3
        assert "when it first needs it" in err
        assert giftsync("sync")[0] == 0
        code, out, _ = giftsync("shopify", "token")
        assert code == 0
        assert "in 24 hours" in out
        assert "shpat_" not in out

    def test_a_secret_that_is_wrong(self, giftsync: Giftsync, config: Path, address: Address) -> None:
        write(config, address, shopify__auth="client_credentials", shopify__client_secret="guessed-secret")
        code, out, err = giftsync("doctor", "--side", "shopify")
        assert code == 3
        assert "client_id and client_secret" in out
        assert "guessed-secret" not in out + err

    @pytest.mark.parametrize("auth", ["client_credentials", "install"])
    def test_what_is_missing_for_a_way_is_said(
        self, giftsync: Giftsync, config: Path, address: Address, auth: str
    ) -> None:
        write(config, address, without=("client_secret",), shopify__auth=auth)
        code, _, err = giftsync("config", "check")
        assert code == 3
        assert "[sides.shopify] client_secret is missing" in err
        assert "client_secret_file" in err


class TestInstall:
    def test_it_needs_its_setting(self, giftsync: Giftsync, config: Path, address: Address) -> None:
        write(config, address)
        code, _, err = giftsync("shopify", "install")
        assert code == 3
        assert 'auth = "install"' in err

    def test_opening_the_address_installs(
        self, giftsync: Giftsync, config: Path, address: Address, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(config, address, shopify__auth="install")
        code, _, err = giftsync("doctor", "--side", "shopify")
        assert code == 3
        pages: list[requests.Response] = []
        monkeypatch.setattr("connectors.shopify.commands._wait", browser(pages))

        code, out, err = giftsync("shopify", "install", "--port", "0")

        assert code == 0, err
        refused, installed, again = pages
        assert refused.status_code == 400
        assert "does not belong" in refused.text
        assert installed.status_code == 200
        assert "You can close this window" in installed.text
        assert again.status_code == 400
        url = re.search(r"http://\S+/admin/oauth/authorize\S+", err)
        assert url is not None
        code, out, _ = giftsync("shopify", "token", "--json")
        answer = json.loads(out)
        assert (answer["kind"], answer["renewable"]) == ("install", True)
        assert giftsync("sync")[0] == 0
        shown = out + err + "".join(page.text for page in pages)
        stored = b"".join(path.read_bytes() for path in config.parent.iterdir() if path != config)
        for pattern in (
            "shpat_[0-9a-f]{8}",
            "shprt_[0-9a-f]{8}",
            re.escape(address.sides["shopify"]["api_secret"]),
        ):
            assert not re.search(pattern, shown)
            assert not re.search(pattern.encode(), stored)

    def test_nobody_comes(
        self, giftsync: Giftsync, config: Path, address: Address, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(config, address, shopify__auth="install")
        monkeypatch.setattr("connectors.shopify.commands.WAIT_SECONDS_MAX", 0.0)
        code, _, err = giftsync("shopify", "install", "--port", "0")
        assert code == 3
        assert "nothing was installed" in err


def browser(pages: list[requests.Response]) -> Callable[[Any, threading.Event], None]:
    """A merchant who first opens a forged answer, then the right one, then the right one again."""

    def visit(attempt: Any, _: threading.Event) -> None:
        yes = requests.get(attempt.installation.permission_url(), allow_redirects=False, timeout=10)
        back = yes.headers["Location"]
        for address in (back.replace("state=", "state=x"), back, back):
            pages.append(requests.get(address, timeout=10))

    return visit
