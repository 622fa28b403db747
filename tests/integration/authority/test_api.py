"""The HTTP API over a real socket: what callers are answered, and what they cannot find out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
import requests
from sqlalchemy import text
from structlog.testing import capture_logs

from connectors.memory import MemoryFault
from mappings.serials import Serial
from sync.ledger.hub.guesses import CARD_MAX, TOKEN_MAX
from sync.ledger.hub.requests import Requests
from sync.ledger.hub.tokens import ApiTokens
from tests.integration.authority.served import CallerOfApi, Served, serving
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop


@pytest.fixture
def served(shop: Shop) -> Iterator[Served]:
    with serving(shop) as served:
        yield served


@pytest.fixture
def till(served: Served) -> CallerOfApi:
    return served.caller()


def validate(till: CallerOfApi, number: str, **more: object) -> dict[str, object]:
    answer = till.post("/giftcards/validate", {"number": number, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_given_a_card_then_validate_tells_what_it_is_worth_and_never_its_number(
    shop: Shop, till: CallerOfApi
) -> None:
    shop.in_step(10_000)

    answer = till.post("/giftcards/validate", {"number": SERIAL})

    told = answer.json()
    assert (told["balance"], told["currency"], told["redeemable"], told["reason"]) == (
        "100.00",
        "NOK",
        True,
        None,
    )
    assert (told["type"], told["restrictions"], told["last_four"]) == ("monetary", [], "••••4000")
    assert SERIAL not in answer.text
    assert validate(till, SERIAL[:4] + "-" + SERIAL[4:])["token"] == told["token"]
    by_token = till.post("/giftcards/validate", {"token": f"https://example.com/c/{told['token']}"})
    assert by_token.json()["balance"] == "100.00"


def test_given_a_spent_card_then_validate_still_answers_200_and_says_why(
    shop: Shop, till: CallerOfApi
) -> None:
    shop.in_step(10_000)
    till.pay(SERIAL, "100.00")

    told = validate(till, SERIAL)

    assert (told["redeemable"], told["reason"], told["balance"]) == (False, "empty", "0.00")
    assert told["display"] == "Nothing is left on this card."


@pytest.mark.parametrize("look", ["sides", "ledger"])
def test_given_a_card_whose_rows_were_changed_then_the_caller_is_told_to_ask_the_shop_and_no_amount(
    shop: Shop, till: CallerOfApi, look: str
) -> None:
    shop.in_step(10_000)
    token = validate(till, SERIAL)["token"]
    shop.by_hand("UPDATE cards SET balance_minor = 90000 WHERE id = 1")

    asked = till.post("/giftcards/validate", {"number": SERIAL, "look": look})
    answers = [asked, till.get(f"/giftcards/{token}"), till.get(f"/giftcards/{token}/history")]

    for answer in answers:
        told = answer.json()
        assert (answer.status_code, told["code"]) == (409, "needs_attention"), answer.text
        # Any digits may stand in what each request is called.
        assert "900" not in str({**told, "request_id": ""})


def test_given_money_that_just_left_a_side_then_a_fresh_look_shows_it(shop: Shop, till: CallerOfApi) -> None:
    shop.in_step(10_000)
    shop.move(SHOPIFY, -4_000)

    assert validate(till, SERIAL)["balance"] == "100.00"
    assert validate(till, SERIAL, look="sides")["balance"] == "60.00"


def test_given_a_payment_then_it_is_answered_and_can_be_read(shop: Shop, till: CallerOfApi) -> None:
    shop.in_step(10_000)

    paid = till.pay(SERIAL, "30.00", location="oslo-1", reference="receipt 7")

    told = paid.json()
    assert (paid.status_code, told["state"], told["confirmed"]) == (201, "completed", True)
    assert (told["amount"], told["balance"], told["reference"]) == ("30.00", "70.00", "receipt 7")
    assert till.get(f"/redemptions/{told['id']}").json() == told
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_repeated_request_then_the_answer_is_the_first_and_another_body_is_refused(
    shop: Shop, till: CallerOfApi
) -> None:
    shop.in_step(10_000)

    first = till.pay(SERIAL, "30.00", "k1")
    till.pay(SERIAL, "10.00", "k2")
    again = till.pay(SERIAL, "30.00", "k1")
    other = till.pay(SERIAL, "31.00", "k1")

    assert (again.status_code, again.json()) == (201, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert shop.shown() == {FLOW: 6_000, SHOPIFY: 6_000}


def test_given_a_denied_request_that_is_repeated_then_it_stays_denied(shop: Shop, till: CallerOfApi) -> None:
    shop.in_step(10_000)
    first = till.pay(SERIAL, "100.01", "k1")
    shop.move(FLOW, 5_000)

    again = till.pay(SERIAL, "100.01", "k1")

    assert first.json()["code"] == again.json()["code"] == "insufficient_funds"
    assert first.headers["content-type"] == "application/problem+json"
    assert till.pay(SERIAL, "100.01", "k2").status_code == 201


def test_given_the_same_request_at_the_same_time_then_it_pays_once_and_both_get_one_answer(
    shop: Shop, till: CallerOfApi
) -> None:
    shop.in_step(10_000)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: till.pay(SERIAL, "30.00", "k1"), range(6)))

    done = [a.json() for a in answers if a.status_code == 201]
    assert done
    assert all(one == done[0] for one in done)
    assert {a.status_code for a in answers} <= {201, 202, 503}
    assert {a.json()["id"] for a in answers if a.status_code != 503} == {done[0]["id"]}
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_debit_in_doubt_then_202_and_later_the_same_key_is_answered_for_good(
    shop: Shop, till: CallerOfApi
) -> None:
    card_id = shop.in_step(10_000)
    shop.fail(SHOPIFY, MemoryFault.DROPPED)

    pending = till.pay(SERIAL, "30.00", "k1")
    assert (pending.status_code, pending.json()["state"], pending.headers["retry-after"]) == (
        202,
        "pending",
        "1",
    )
    shop.work_until_quiet(card_id)

    again = till.pay(SERIAL, "30.00", "k1")
    assert (again.status_code, again.json()["state"]) == (201, "completed")
    assert till.pay(SERIAL, "30.00", "k1").json() == again.json()


def test_given_a_redemption_then_it_is_reversed_in_parts(shop: Shop, till: CallerOfApi) -> None:
    shop.in_step(10_000)
    paid = till.pay(SERIAL, "30.00").json()["id"]

    part = till.post(f"/redemptions/{paid}/reversal", {"amount": "10.00"}, "r1")
    assert till.post(f"/redemptions/{paid}/reversal", {"amount": "10.00"}, "r1").json() == part.json()
    whole = till.post(f"/redemptions/{paid}/reversal", {})
    more = till.post(f"/redemptions/{paid}/reversal", {})

    assert (part.json()["amount"], part.json()["state"]) == ("20.00", "completed")
    assert (whole.json()["amount"], whole.json()["state"]) == ("0.00", "reversed")
    assert (more.status_code, more.json()["code"]) == (409, "not_reversible")
    assert validate(till, SERIAL)["balance"] == "100.00"


def test_given_an_authorization_then_it_is_captured_or_voided(shop: Shop, till: CallerOfApi) -> None:
    shop.in_step(10_000)
    ask = {"number": SERIAL, "amount": "30.00", "currency": "NOK", "expires_in_seconds": 600}

    held, other = (till.post("/authorizations", ask).json() for _ in range(2))
    assert (held["state"], held["kind"]) == ("authorized", "authorization")
    captured = till.post(f"/authorizations/{held['id']}/capture", {"amount": "20.00"}).json()
    voided = till.post(f"/authorizations/{other['id']}/void", {}).json()

    assert (captured["state"], captured["amount"]) == ("completed", "20.00")
    assert voided["state"] == "voided"
    assert validate(till, SERIAL)["balance"] == "80.00"
    assert till.post(f"/authorizations/{other['id']}/capture", {}).json()["code"] == "not_authorized"
    assert till.get(f"/authorizations/{held['id']}").json()["state"] == "completed"


def test_given_a_card_to_issue_then_both_sides_get_it_and_its_cvc_is_needed(
    shop: Shop, served: Served, till: CallerOfApi
) -> None:
    shop.pool.add(FLOW, [Serial("5000600070008000")])

    made = till.post("/giftcards", {"amount": "50.00", "currency": "NOK", "cvc": True}, "i1")
    again = till.post("/giftcards", {"amount": "50.00", "currency": "NOK", "cvc": True}, "i1")

    card = made.json()
    assert made.status_code == again.status_code == 201, made.text
    assert again.json() == card
    assert (card["number"], len(card["cvc"])) == ("5000600070008000", 4)
    stored = json.dumps(shop.rows("api_requests"), default=str)
    assert card["number"] not in stored
    assert f'"{card["cvc"]}"' not in stored
    shop.work_until_quiet(shop.card_id(card["number"]))
    assert shop.shown(card["number"]) == {FLOW: 5_000, SHOPIFY: 5_000}
    wrong = str((int(card["cvc"]) + 1) % 10_000).zfill(4)
    assert till.pay(card["number"], "1.00").json()["code"] == "card_not_accepted"
    assert till.pay(card["number"], "1.00", cvc=wrong).json()["code"] == "card_not_accepted"
    assert till.pay(card["number"], "1.00", cvc=card["cvc"]).status_code == 201


def test_given_wrong_cvcs_then_the_right_one_is_not_heard_for_a_while(shop: Shop, till: CallerOfApi) -> None:
    card = till.post(
        "/giftcards", {"amount": "50.00", "currency": "NOK", "cvc": True, "number": "5000600070008000"}
    ).json()
    shop.work_until_quiet(shop.card_id(card["number"]))
    wrong = str((int(card["cvc"]) + 1) % 10_000).zfill(4)

    for _ in range(CARD_MAX):
        till.pay(card["number"], "1.00", cvc=wrong)
    assert till.pay(card["number"], "1.00", cvc=card["cvc"]).json()["code"] == "card_not_accepted"

    shop.clock.advance(901)
    assert till.pay(card["number"], "1.00", cvc=card["cvc"]).status_code == 201


def test_given_numbers_that_are_tried_then_the_token_is_stopped_and_it_is_logged(
    shop: Shop, served: Served, till: CallerOfApi
) -> None:
    shop.in_step(10_000)

    with capture_logs() as logs:
        codes = [
            till.post("/giftcards/validate", {"number": f"40005000{n:08}"}).json()["code"]
            for n in range(TOKEN_MAX + 2)
        ]

    assert codes == ["card_not_accepted"] * TOKEN_MAX + ["too_many_guesses"] * 2
    assert till.post("/giftcards/validate", {"number": SERIAL}).status_code == 429, (
        "also for a card that is there"
    )
    assert served.caller().post("/giftcards/validate", {"number": SERIAL}).status_code == 200
    assert [line["log_level"] for line in logs if line["action"] == "api.guessing"] == ["warning"]
    assert "40005000" not in str(logs)


def test_given_an_unknown_number_and_a_wrong_cvc_then_the_answers_are_the_same(
    shop: Shop, till: CallerOfApi
) -> None:
    till.post("/giftcards", {"amount": "50.00", "currency": "NOK", "cvc": True, "number": "5000600070008000"})

    unknown = till.post("/giftcards/validate", {"number": "4000600070008000", "cvc": "0000"}).json()
    wrong = till.post("/giftcards/validate", {"number": "5000600070008000"}).json()

    assert {**unknown, "request_id": ""} == {**wrong, "request_id": ""}


def test_given_a_load_and_changes_then_the_sides_follow(shop: Shop, till: CallerOfApi) -> None:
    card_id = shop.in_step(10_000)
    ref = validate(till, SERIAL)["token"]

    loaded = till.post(f"/giftcards/{ref}/loads", {"amount": "20.00", "currency": "NOK"}, "l1")
    assert (
        till.post(f"/giftcards/{ref}/loads", {"amount": "20.00", "currency": "NOK"}, "l1").json()
        == loaded.json()
    )
    assert (loaded.status_code, loaded.json()["balance"]) == (201, "120.00")
    shop.work_until_quiet(card_id)
    assert shop.shown() == {FLOW: 12_000, SHOPIFY: 12_000}

    suspended = till.send("PATCH", f"/giftcards/{ref}", {"status": "suspended"})
    assert (suspended.json()["status"], suspended.json()["reason"]) == ("suspended", "suspended")
    dated = till.send("PATCH", f"/giftcards/{ref}", {"status": "active", "expires_on": "2027-06-30"})
    assert (dated.json()["expires_on"], dated.json()["redeemable"]) == ("2027-06-30", True)
    shop.work_until_quiet(card_id)
    assert till.pay(SERIAL, "1.00").status_code == 201
    closed = till.send("PATCH", f"/giftcards/{ref}", {"status": "closed"})
    assert (closed.json()["status"], closed.json()["balance"]) == ("closed", "0.00")
    assert till.send("PATCH", f"/giftcards/{ref}", {"status": "active"}).json()["code"] == "closed"


@pytest.mark.parametrize(
    "day", [1_830_211_200, 20261231, "2027-12-31T00:00:00Z", "0001-01-01", "31.12.2027", ""]
)
def test_given_what_is_no_day_then_the_expiry_stays_as_it_was(
    shop: Shop, till: CallerOfApi, day: object
) -> None:
    card_id = shop.in_step(10_000)
    ref = validate(till, SERIAL)["token"]

    answer = till.send("PATCH", f"/giftcards/{ref}", {"expires_on": day})

    told = ["expires_on: a day is written as 2026-12-31, from the year 2000 on"]
    assert (answer.status_code, answer.json()["errors"]) == (400, told)
    assert shop.card(card_id).expires_on is None


def test_given_a_history_then_it_is_paged_and_its_sums_add_up(shop: Shop, till: CallerOfApi) -> None:
    shop.in_step(10_000)
    for amount in ("10.00", "20.00", "5.00"):
        assert till.pay(SERIAL, amount).status_code == 201
        shop.clock.advance(1.0)
    ref = validate(till, SERIAL)["token"]

    lines: list[dict[str, Any]] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = till.get(f"/giftcards/{ref}/history", limit=2, **({"cursor": cursor} if cursor else {})).json()
        lines, cursor, pages = lines + page["items"], page["next_cursor"], pages + 1

    assert pages == 2
    assert [line["amount"] for line in lines] == ["100.00", "-10.00", "-20.00", "-5.00"]
    assert [line["balance"] for line in lines] == ["100.00", "90.00", "70.00", "65.00"]
    listed = till.get("/redemptions", limit=2).json()
    rest = till.get("/redemptions", limit=2, cursor=listed["next_cursor"]).json()
    assert [r["amount"] for r in listed["items"] + rest["items"]] == ["5.00", "20.00", "10.00"]
    assert rest["next_cursor"] is None
    assert till.get("/redemptions", cursor="nonsense").status_code == 400


def test_given_gifts_that_no_side_can_hold_then_they_are_refused_in_words(till: CallerOfApi) -> None:
    for kind in ("item", "promotional"):
        answer = till.post("/giftcards", {"type": kind, "amount": "50.00", "currency": "NOK"})
        assert (answer.status_code, answer.json()["code"]) == (409, "type_not_supported")
        assert "no side" in answer.json()["detail"]


def test_given_tokens_then_scopes_locations_rates_and_revocation_hold(shop: Shop, served: Served) -> None:
    shop.in_step(10_000)
    looks = served.caller(["validate"])
    assert looks.pay(SERIAL, "1.00").json()["code"] == "forbidden"

    oslo = served.caller(locations=["oslo-1"])
    assert oslo.pay(SERIAL, "1.00").json()["location"] == "oslo-1"
    assert oslo.pay(SERIAL, "1.00", location="bergen").json()["code"] == "location_not_allowed"
    both = served.caller(locations=["oslo-1", "bergen"])
    assert both.pay(SERIAL, "1.00").json()["code"] == "invalid_request"
    theirs = both.pay(SERIAL, "1.00", location="bergen").json()["id"]
    assert oslo.get(f"/redemptions/{theirs}").status_code == 404

    slow = served.caller(calls_per_minute=2)
    answers = [slow.get("/redemptions") for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "30"

    nobody = CallerOfApi(served.url, "gst_nobody")
    assert (nobody.get("/redemptions").status_code, nobody.get("/nothing").status_code) == (401, 404)


def test_given_a_token_that_is_revoked_then_it_opens_nothing(shop: Shop, served: Served) -> None:
    from sync.ledger.hub.tokens import ApiTokens

    till = served.caller()
    assert till.get("/redemptions").status_code == 200
    tokens = ApiTokens(shop.engine, shop.vault)
    (token,) = tokens.list()
    assert token.last_used_at == shop.clock()

    assert tokens.revoke(token.id, shop.clock())

    assert till.get("/redemptions").json()["code"] == "unauthorized"
    assert not tokens.revoke(token.id, shop.clock())
    assert till.secret not in str(shop.rows("api_tokens"))


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("""UPDATE api_tokens SET scopes = '["issue"]' WHERE name = 'till'""", {"office"}),
        ("""UPDATE api_tokens SET locations = '["oslo-2"]' WHERE name = 'till'""", {"office"}),
        ("UPDATE api_tokens SET calls_per_minute = 1000000000 WHERE name = 'till'", {"office"}),
        ("UPDATE api_tokens SET revoked_at = NULL WHERE name = 'revoked'", {"till", "office"}),
        ("UPDATE api_tokens SET proof = NULL WHERE name = 'till'", {"office"}),
        (
            (
                "UPDATE api_tokens SET proof = (SELECT proof FROM api_tokens WHERE name = 'office')"
                " WHERE name = 'till'"
            ),
            {"office"},
        ),
        # The till's secret is to open what the office's does.
        (
            (
                "UPDATE api_tokens SET secret_hash = secret_hash || 'x' WHERE name = 'till';"
                "UPDATE api_tokens SET secret_hash = (SELECT replace(secret_hash, 'x', '') FROM api_tokens"
                " WHERE name = 'till') WHERE name = 'office'"
            ),
            set(),
        ),
    ],
)
def test_given_a_token_s_row_that_somebody_changed_then_it_opens_nothing_and_the_list_says_so(
    shop: Shop, statement: str, left: set[str]
) -> None:
    tokens = ApiTokens(shop.engine, shop.vault)
    now = shop.clock()
    made = {"till": ["redeem"], "office": ["issue", "load"], "revoked": ["redeem"]}
    added = [tokens.add(name, scopes, ("oslo-1",), 60, now) for name, scopes in made.items()]
    tokens.revoke(added[-1][0].id, now)
    assert not any(one.altered for one in tokens.list())

    with shop.engine.begin() as connection:
        for one in statement.split(";"):
            connection.execute(text(one))

    opened = [tokens.open(secret, now) for _, secret in added]
    assert {token.name for token in opened if token is not None} == left
    changed = {one.id for one in tokens.list() if one.altered}
    assert changed
    for changed_id in changed:
        tokens.revoke(changed_id, now)
    # Ending it does not make it giftsync's own word.
    assert {one.id for one in tokens.list() if one.altered} == changed


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"number": SERIAL},
        {"number": SERIAL, "token": "crd_x", "amount": "1.00", "currency": "NOK"},
        {"number": SERIAL, "amount": 1.0, "currency": "NOK"},
        {"number": SERIAL, "amount": "-1.00", "currency": "NOK"},
        {"number": SERIAL, "amount": "0.00", "currency": "NOK"},
        {"number": SERIAL, "amount": "0.001", "currency": "NOK"},
        {"number": SERIAL, "amount": "1e3", "currency": "NOK"},
        {"number": SERIAL, "amount": "1.00", "currency": "kr"},
        {"number": SERIAL, "amount": "1.00", "currency": "NOK", "reference": "a\u0000b"},
        {"number": SERIAL, "amount": "1.00", "currency": "NOK", "surprise": True},
    ],
)
def test_given_a_malformed_request_then_it_is_told_without_its_input(
    shop: Shop, till: CallerOfApi, body: dict[str, object]
) -> None:
    shop.in_step(10_000)

    answer = till.post("/redemptions", body)

    assert (answer.status_code, answer.json()["code"] in ("invalid_request", "invalid_amount")) == (400, True)
    assert SERIAL not in answer.text
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_any_answer_then_it_has_the_id_of_its_request(till: CallerOfApi) -> None:
    unknown = till.get("/redemptions/red_nothing")
    assert unknown.headers["x-request-id"] == unknown.json()["request_id"]
    assert unknown.headers["cache-control"] == "no-store"
    large = till.post("/giftcards/validate", {"number": "1" * 20_000})
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    not_so = till.send("DELETE", "/redemptions", {})
    assert (not_so.json()["code"], not_so.headers["allow"]) == ("method_not_allowed", "GET, POST")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", "body: Field required"),
        (b'{"number": ', "body: it is not JSON"),
        (b'{"number": "1", "number": "2"}', "body: an object has a name twice"),
        (b'{"number": NaN}', "body: a number is none"),
        (b"\xff\xfe", "body: it is not text in UTF-8"),
        (b"[" * 9_000, "body: it is nested deeper than any answer"),
        (b'{"number": "1", "token": "2"}', "body: give exactly one of number and token"),
        (b'{"number": 1}', "number: Input should be a valid string"),
    ],
)
def test_given_a_malformed_body_then_the_problem_names_what_is_wrong(
    served: Served, sent: bytes, told: str
) -> None:
    till = served.caller()
    headers = {"Authorization": f"Bearer {till.secret}", "Content-Type": "application/json"}

    answer = requests.post(f"{till.url}/giftcards/validate", data=sent, headers=headers, timeout=10)

    assert (answer.status_code, answer.json()["errors"]) == (400, [told])


@pytest.mark.parametrize("called", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_given_a_body_that_is_not_called_json_then_the_caller_is_told_to(
    served: Served, called: str | None
) -> None:
    till = served.caller()
    headers = {
        "Authorization": f"Bearer {till.secret}",
        **({} if called is None else {"Content-Type": called}),
    }

    body = b'{"number": "1"}'
    answer = requests.post(f"{till.url}/giftcards/validate", data=body, headers=headers, timeout=10)

    told = ["body: send JSON, with Content-Type: application/json"]
    assert (answer.status_code, answer.json()["errors"]) == (400, told)


def test_given_a_request_that_is_repeated_after_30_days_then_the_first_answer_comes_and_it_pays_once(
    shop: Shop, till: CallerOfApi
) -> None:
    shop.in_step(10_000)
    first, kept = till.pay(SERIAL, "30.00", key="k"), Requests(shop.engine)

    shop.clock.advance(31 * 86_400.0)
    assert kept.forget_old(shop.clock()) == 0
    assert till.pay(SERIAL, "30.00", key="k").json() == first.json()
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}

    shop.clock.advance(60 * 86_400.0)
    assert kept.forget_old(shop.clock()) == 1


def test_given_redemptions_then_a_token_reads_its_own_page_by_page_the_newest_first(
    shop: Shop, served: Served, till: CallerOfApi
) -> None:
    shop.in_step(10_000)
    made = []
    for _ in range(3):
        made.append(till.pay(SERIAL, "1.00").json()["id"])
        shop.clock.advance(1.0)
    served.caller().pay(SERIAL, "1.00")

    first = till.get("/redemptions", limit=2).json()
    last = till.get("/redemptions", limit=2, cursor=first["next_cursor"]).json()

    assert [one["id"] for one in (*first["items"], *last["items"])] == made[::-1]
    assert last["next_cursor"] is None


def test_given_a_part_that_is_given_back_or_captured_then_the_answer_says_what_is_on_the_card_now(
    shop: Shop, till: CallerOfApi
) -> None:
    shop.in_step(10_000)
    paid = till.pay(SERIAL, "30.00").json()
    till.pay(SERIAL, "20.00")

    part = till.post(f"/redemptions/{paid['id']}/reversal", {"amount": "10.00"}).json()
    wanted = {"number": SERIAL, "amount": "40.00", "currency": "NOK"}
    held = till.post("/authorizations", wanted).json()
    captured = till.post(f"/authorizations/{held['id']}/capture", {"amount": "15.00"}).json()

    said = [one["balance"] for one in (paid, part, held, captured)]
    assert said == ["70.00", "60.00", "20.00", "45.00"]
    assert validate(till, SERIAL)["balance"] == "45.00"
    assert till.get(f"/redemptions/{paid['id']}").json()["balance"] == "60.00"


def test_given_a_token_that_is_used_then_its_last_use_is_shown_to_the_minute(
    shop: Shop, till: CallerOfApi
) -> None:
    tokens = ApiTokens(shop.engine, shop.vault)
    assert [one.last_used_at for one in tokens.list()] == [None]
    used: list[datetime | None] = []
    for _ in range(3):
        till.get("/redemptions")
        used.append(tokens.list()[0].last_used_at)
        shop.clock.advance(40.0)

    first, second, third = used
    assert first == second
    assert first is not None
    assert third is not None
    assert (third - first).total_seconds() == 80.0
