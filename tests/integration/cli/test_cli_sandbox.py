"""`sandbox serve` and `sandbox config` as an outside tool drives them: a process, a line, a signal."""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from cli.emulators import Address
from cli.sandbox_config import sandbox_values

GIFTSYNC = (sys.executable, "-c", "from cli.main import main; main()")
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A `sandbox serve` that is ready, and its line."""
    process = subprocess.Popen(
        [*GIFTSYNC, "sandbox", "serve", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS_MAX)
        assert readable, "no line came"
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def giftsync(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GIFTSYNC, *arguments], input=given, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def ready() -> Iterator[dict[str, Any]]:
    with served("--cards", "5", "--seed", "3", "--plan", "plus", "--currency", "SEK") as (_, line):
        yield line


def post(url: str, name: str, **body: object) -> Any:
    response = requests.post(f"{url}/_sandbox/{name}", json=body, timeout=30)
    response.raise_for_status()
    return response.json()


def test_the_line_has_exactly_what_is_promised(ready: dict[str, Any]) -> None:
    assert set(ready) == {"shopify", "flow"}
    assert set(ready["shopify"]) == {"url", "shop", "token", "api_secret"}
    assert set(ready["flow"]) == {"url", "tenant", "store", "token"}
    for side in ready.values():
        assert side["url"].startswith("http://127.0.0.1:")
        assert not side["url"].endswith(":0")


def test_each_side_starts_with_its_cards(ready: dict[str, Any]) -> None:
    for side in ready.values():
        assert len(requests.get(f"{side['url']}/_sandbox/cards", timeout=30).json()) == 5


def test_the_settings_agree_with_the_back_office(ready: dict[str, Any]) -> None:
    """`sandbox config` works without asking; what it takes for granted must be so."""
    flow = ready["flow"]
    values = sandbox_values(Address(ready))
    office = post(flow["url"], "backoffice")
    methods = next(one["payment_methods"] for one in office["stores"] if one["uid"] == flow["store"])

    side = {key: value for (*_, name, key), value in values.items() if name == "flow"}
    assert side["debit_product_uid"] == office["online_redemption_product"]
    assert side["gift_card_product_uids"] == {b["name"]: b["product"] for b in office["brands"]}
    assert side["item_number_field"] == office["item_number_key"]
    assert side["gift_card_payment_method_uid"] == methods["GIFTCARD"]
    assert side["external_payment_method_uid"] == methods["EXTERNAL_SHOPIFY"]


def test_the_line_piped_into_config_makes_settings_that_work(ready: dict[str, Any], tmp_path: Path) -> None:
    made = giftsync("sandbox", "config", given=json.dumps(ready))
    assert made.returncode == 0
    path = tmp_path / "giftsync.toml"
    path.write_text(made.stdout, encoding="utf-8")

    checked = giftsync("config", "check", "--json", "--config", str(path))

    assert checked.returncode == 0, checked.stderr
    answer = json.loads(checked.stdout)
    assert answer["passed"] is True
    assert {one["what"] for one in answer["checks"]} == {"configuration", "ledger", "flow", "shopify"}
    for token in (ready["shopify"]["token"], ready["flow"]["token"]):
        assert token not in checked.stdout + checked.stderr


def test_a_check_makes_no_ledger_and_says_where_none_can_be_made(
    ready: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "giftsync.toml"
    made = giftsync("sandbox", "config", given=json.dumps(ready)).stdout
    path.write_text(made, encoding="utf-8")

    checked = giftsync("config", "check", "--json", "--config", str(path))

    (ledger,) = [one for one in json.loads(checked.stdout)["checks"] if one["what"] == "ledger"]
    assert ledger["passed"] is True
    assert "is not there yet" in ledger["words"]
    assert [found.name for found in tmp_path.iterdir()] == ["giftsync.toml"]

    elsewhere = f'database = "sqlite:///{tmp_path / "nowhere" / "giftsync.db"}"\n'
    path.write_text(elsewhere + "\n".join(x for x in made.splitlines() if not x.startswith("database")))

    checked = giftsync("config", "check", "--json", "--config", str(path))

    assert checked.returncode == 3
    (ledger,) = [one for one in json.loads(checked.stdout)["checks"] if one["what"] == "ledger"]
    assert ledger["passed"] is False
    assert "nowhere does not exist; create it or change `database`" in ledger["words"]


def test_a_store_that_does_not_exist_fails_the_check(ready: dict[str, Any], tmp_path: Path) -> None:
    made = giftsync("sandbox", "config", given=json.dumps(ready))
    path = tmp_path / "giftsync.toml"
    path.write_text(made.stdout.replace(f'store = "{ready["flow"]["store"]}"', 'store = "7777"'))

    checked = giftsync("config", "check", "--json", "--config", str(path))

    assert checked.returncode == 3
    (failed,) = [one for one in json.loads(checked.stdout)["checks"] if not one["passed"]]
    assert failed["what"] == "flow"
    assert failed["words"] == (
        f"Flow knows no store 7777 in the tenant {ready['flow']['tenant']}. "
        "Correct `store` or `tenant` in the side's table."
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with served() as (process, _):
        process.send_signal(number)

        out, err = process.communicate(timeout=STOP_SECONDS_MAX)

        assert process.returncode == 0
        assert (out, err) == ("", "")


@pytest.mark.parametrize("option", ["--shopify-port", "--flow-port"])
def test_a_port_in_use_is_said_with_the_way_out(option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        refused = giftsync("sandbox", "serve", option, port)

    assert refused.returncode == 3
    assert refused.stderr == (
        f"error: port {port} is in use.\nChoose another with {option}, or 0 for any free one.\n"
    )
    assert refused.stdout == ""


def test_another_address_than_loopback_is_refused() -> None:
    refused = giftsync("sandbox", "serve", "--host", "0.0.0.0")

    assert refused.returncode == 3
    assert "serves this machine only and does not bind 0.0.0.0" in refused.stderr


@pytest.mark.parametrize("given", ["", "hello\n", "{}\n"])
def test_config_wants_the_line(given: str) -> None:
    refused = giftsync("sandbox", "config", given=given)

    assert refused.returncode == 3
    assert refused.stderr.startswith("error: ")
    assert refused.stdout == ""
