"""Rules that are tried by reading: nothing is made, and no money moves."""

from __future__ import annotations

import secrets
from typing import Final
from zoneinfo import ZoneInfo

from connectors.http_side.conformance.asking import RuleBroken, RuleNotTried
from connectors.http_side.conformance.rules import CheckRun, Rule
from connectors.http_side.model import CONTRACT, FEATURES, read_card, read_shop
from connectors.kit.fields import NotBelieved, moment_of
from mappings.money import MoneyError, currency_exponent

_PAGE: Final = 2
_PAGES_MAX: Final = 3
#: Of 500 changes each.
_CHANGE_PAGES_MAX: Final = 200


def _answers(run: CheckRun) -> str | None:
    run.caller.get("/shop")
    return None


def _shop(run: CheckRun) -> str:
    shop = read_shop(run.caller.get("/shop"))
    if shop.contract.partition(".")[0] != CONTRACT:
        raise RuleBroken(f"`contract` is not a version {CONTRACT}.")
    try:
        currency_exponent(shop.currency)
    except MoneyError:
        raise RuleBroken("`currency` is no ISO 4217 code such as NOK.") from None
    try:
        ZoneInfo(shop.timezone)
    except (ValueError, OSError):
        raise RuleBroken("`timezone` is no IANA name such as Europe/Oslo.") from None
    strange = sorted(shop.features - set(FEATURES))
    if strange:
        raise RuleBroken(f"`features` has words that are none: {', '.join(strange)[:80]}.")
    run.shop = shop
    return f"{shop.id[:40]}, {shop.currency}, with {', '.join(sorted(shop.features)) or 'no features'}."


def _without_key(run: CheckRun) -> str | None:
    run.caller.ask("GET", "/shop", bearer=None).refused(401, "unauthorized")
    return None


def _wrong_key(run: CheckRun) -> str | None:
    run.caller.ask("GET", "/shop", bearer=f"wrong-{secrets.token_hex(8)}").refused(401, "unauthorized")
    return None


def _no_such_card(run: CheckRun) -> str | None:
    run.caller.ask("GET", f"/cards/check-{secrets.token_hex(8)}").refused(404, "not_found")
    return None


def _no_such_number(run: CheckRun) -> str | None:
    number = "".join(secrets.choice("0123456789") for _ in range(max(run.the_shop().length_min, 16)))
    run.caller.ask("POST", "/cards/lookup", {"number": number}).refused(404, "not_found")
    return None


def _malformed(run: CheckRun) -> str | None:
    run.caller.ask("POST", "/cards/lookup", {}).refused(400, "invalid_request")
    run.caller.ask("POST", "/cards/lookup", form={"number": "1"}).refused(400, "invalid_request")
    return None


def _list(run: CheckRun) -> str:
    met: list[str] = []
    after: str | None = None
    for _ in range(_PAGES_MAX):
        said = run.caller.get("/cards", limit=_PAGE, **({} if after is None else {"after": after}))
        cards = said.get("cards")
        if not isinstance(cards, list) or "next" not in said:
            raise RuleBroken("A page has no `cards` or no `next`.")
        if len(cards) > _PAGE:
            raise RuleBroken(f"A page has {len(cards)} cards; `limit` was {_PAGE}.")
        met += [read_card(one, whole=False).id for one in cards]
        after = said["next"]
        if after is None:
            break
        if not isinstance(after, str):
            raise RuleBroken("`next` is neither a text nor null.")
    if len(set(met)) != len(met):
        raise RuleBroken("A card is on two pages.")
    return "The list ends." if after is None else "More follow."


def _changes(run: CheckRun) -> str | None:
    first = run.caller.get("/changes", limit=_PAGE)
    again = run.caller.get("/changes", limit=_PAGE)
    for said in (first, again):
        for one in _changes_of(said):
            moment_of(one, "at")
    if [one.get("card") for one in _changes_of(first)] != [one.get("card") for one in _changes_of(again)]:
        raise RuleBroken("The first page of changes is another one when it is read again.")
    run.caller.get("/changes", limit=_PAGE, after=str(first["next"]))
    return None


def _changes_of(said: dict[str, object]) -> list[dict[str, object]]:
    changes = said.get("changes")
    if not isinstance(changes, list) or not all(isinstance(one, dict) for one in changes):
        raise NotBelieved("a page has no `changes`")
    if not isinstance(said.get("next"), str) or not isinstance(said.get("more"), bool):
        raise NotBelieved("a page has no `next`, or no `more` that is true or false")
    if not all(isinstance(one.get("card"), str) for one in changes):
        raise NotBelieved("a change names no `card`")
    return changes


def changed_since(run: CheckRun, cursor: str | None) -> tuple[set[str], str]:
    """The cards that changed since the cursor, and the cursor of the end.

    Raises RuleBroken, and RuleNotTried for more changes than a check should read.
    """
    met: set[str] = set()
    for _ in range(_CHANGE_PAGES_MAX):
        said = run.caller.get("/changes", limit=500, **({} if cursor is None else {"after": cursor}))
        met |= {str(one["card"]) for one in _changes_of(said)}
        newest = str(said["next"])
        if not said["more"] or newest == cursor:
            return met, newest
        cursor = newest
    raise RuleNotTried("The shop has more changes than a check reads.")


def _throttle(run: CheckRun) -> str:
    told = run.caller.throttles
    if not told:
        raise RuleNotTried("No answer was 429.")
    if not all(told):
        raise RuleBroken(f"{told.count(False)} of {len(told)} answers with 429 did not say for how long.")
    return f"{len(told)} answers were 429."


READING: Final = (
    Rule(
        "answers",
        "The shop answers `GET /shop` with this key.",
        "Check the address, the key, and that the contract is served below this address.",
        _answers,
    ),
    Rule(
        "shop",
        "`/shop` says which contract, which shop, which currency and time zone, and what is implemented.",
        "See `Shop` in the contract.",
        _shop,
        needs=("answers",),
    ),
    Rule(
        "key.missing",
        "A request without a key is answered 401.",
        "Check the key before anything else, on every path; answer a problem with the code `unauthorized`.",
        _without_key,
        needs=("answers",),
    ),
    Rule(
        "key.wrong",
        "A request with another key is answered 401.",
        "Compare the whole key, in constant time.",
        _wrong_key,
        needs=("answers",),
    ),
    Rule(
        "card.missing",
        "An id that no card has is answered 404 with the code `not_found`.",
        "Answer a problem, so that it is not taken for a proxy's page.",
        _no_such_card,
        needs=("shop",),
    ),
    Rule(
        "number.missing",
        "A number that no card has is answered 404 with the code `not_found`.",
        "Answer a problem, so that it is not taken for a proxy's page.",
        _no_such_number,
        needs=("shop",),
    ),
    Rule(
        "malformed",
        "What cannot be read is answered 400 with the code `invalid_request`.",
        "Check the body before anything is looked up; never answer 500 for what the caller got wrong.",
        _malformed,
        needs=("shop",),
    ),
    Rule(
        "list",
        "Every card is listed once, page by page, as agreed.",
        "Order by something that does not change, such as the id; see `Card` for the fields.",
        _list,
        needs=("shop",),
    ),
    Rule(
        "changes",
        "Changes are listed after a cursor, and the same again.",
        "Number changes as they are committed; `next` is the last number that was given out.",
        _changes,
        needs=("shop",),
    ),
)
#: Tried last, since it looks at what came before.
THROTTLING: Final = Rule(
    "throttle",
    "An answer 429 says for how long to wait.",
    "Send `Retry-After`, in seconds or as a date.",
    _throttle,
)
