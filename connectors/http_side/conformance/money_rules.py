"""Rules that are tried with money, on a test card."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Final

from connectors.http_side.conformance.asking import Answer, RuleBroken, RuleNotTried
from connectors.http_side.conformance.reading_rules import changed_since
from connectors.http_side.conformance.rules import CheckRun, Rule
from connectors.http_side.conformance.test_card import (
    NOTE,
    UNITS,
    TestCard,
    emptied,
    look_up,
    new_key,
    next_number,
    number_of,
)
from connectors.http_side.model import read_card, read_movement
from connectors.http_side.webhooks import card_of, is_signed

_AT_ONCE: Final = 4
_CHANGE_SECONDS: Final = 0.5
_CHANGE_LOOKS: Final = 12
_WEBHOOK_SECONDS: Final = 30.0
_WEBHOOK_AGAIN_SECONDS: Final = 90.0
_LATE: Final = timedelta(days=800)


def _leftovers(run: CheckRun) -> str:
    shop = run.the_shop()
    _, last = next_number(run.caller, shop)
    if last is None:
        return "There was no check before."
    if not (last.key or "").startswith("check-") or not last.balance_minor:
        return "There is none."
    card = TestCard(run.caller, shop, last.number, last.id, last.key or "")
    text, left = card.text(last.balance_minor), emptied(card)
    if left:
        raise RuleBroken(f"A test card of an earlier check still holds {card.text(left)} {shop.currency}.")
    return f"{text} {shop.currency} of an interrupted check were taken off its card."


def _new_card(number: str, amount: str, currency: str) -> dict[str, str | None]:
    return {"number": number, "amount": amount, "currency": currency, "expires_on": None, "note": NOTE}


def _create(run: CheckRun) -> str | None:
    shop = run.the_shop()
    with suppress(RuleNotTried):
        _, run.cursor = changed_since(run, None)
    count, _ = next_number(run.caller, shop)
    card = TestCard(run.caller, shop, number_of(shop, count), "", new_key("create"))
    amount = UNITS * card.unit
    body = _new_card(card.number, card.text(amount), shop.currency)
    said = run.caller.ask("POST", "/cards", body, key=card.create_key).done()
    card.id = str(said.get("id"))
    # From here on there is a card to be emptied, whatever is wrong with the answer.
    run.card = card
    made = read_card(said)
    if (made.balance_minor, made.status, made.expires_on) != (amount, "active", None):
        raise RuleBroken("The new card has not the amount that was asked for, is not active, or has a date.")
    if made.key != card.create_key or [one.key for one in made.movements or ()] != [card.create_key]:
        raise RuleBroken("The card, or its one movement, does not carry the Idempotency-Key as `key`.")
    return None


def _create_again(run: CheckRun) -> str | None:
    card = run.the_card()
    body = _new_card(card.number, card.text(UNITS * card.unit), card.shop.currency)
    again = run.caller.ask("POST", "/cards", body, key=card.create_key).done()
    if again.get("id") != card.id:
        raise RuleBroken("The same request under the same key answers another card.")
    card.has(UNITS * card.unit)
    return None


def _number_taken(run: CheckRun) -> str | None:
    card = run.the_card()
    body = _new_card(card.number, card.text(card.unit), card.shop.currency)
    card.unchanged(
        lambda: run.caller.ask("POST", "/cards", body, key=new_key("taken")).refused(409, "number_taken")
    )
    return None


def _spelling(run: CheckRun) -> str | None:
    card = run.the_card()
    spelled = f"{card.number[:4]}-{card.number[4:8]} {card.number[8:]}".upper()
    found = look_up(run.caller, spelled)
    if found is None or found.id != card.id:
        raise RuleBroken("The card is not found when its number has capitals, a dash and a space.")
    return None


def _whole_number(run: CheckRun) -> str | None:
    card = run.the_card()
    other = card.number[:-5] + ("1" if card.number[-5] != "1" else "2") + card.number[-4:]
    found = look_up(run.caller, other)
    if found is not None and found.id == card.id:
        raise RuleBroken("Another number with the same last four finds the card.")
    return None


def _listed(run: CheckRun) -> str | None:
    card = run.the_card()
    if run.cursor is None:
        raise RuleNotTried("The shop has more changes than a check reads.")
    for _ in range(_CHANGE_LOOKS):
        if card.id in changed_since(run, run.cursor)[0]:
            return None
        run.pause(_CHANGE_SECONDS)
    raise RuleBroken("The card that was just made is not among the changes after six seconds.")


def _moved(card: TestCard, minor: int, key: str, before: int) -> None:
    """Move money once, and see it exactly in the answer and in the book."""
    said = card.move(minor, key).done()
    movement = read_movement(said.get("movement"), card.shop.currency)
    if (movement.amount_minor, movement.key) != (minor, key):
        raise RuleBroken("The answered movement has another amount, or not the Idempotency-Key as `key`.")
    book = card.has(before + minor)
    if len(book.landed(key)) != 1:
        raise RuleBroken(f"The book shows {len(book.landed(key))} movements with the key, not one.")


def _debit(run: CheckRun) -> str | None:
    card = run.the_card()
    _moved(card, -3 * card.unit, new_key("debit"), card.read().balance_minor)
    return None


def _credit(run: CheckRun) -> str | None:
    card = run.the_card()
    _moved(card, 2 * card.unit, new_key("credit"), card.read().balance_minor)
    return None


def _once(run: CheckRun) -> str | None:
    card = run.the_card()
    key, before = new_key("once"), card.read().balance_minor
    first = card.move(-card.unit, key).done()
    again = card.move(-card.unit, key)
    now = card.read()
    if len(now.landed(key)) != 1 or now.balance_minor != before - card.unit:
        raise RuleBroken(
            f"The same request came twice and moved money {len(now.landed(key))} times: the card went from "
            f"{card.text(before)} to {card.text(now.balance_minor)} {card.shop.currency}."
        )
    if _movement_id(again.done()) != _movement_id(first):
        raise RuleBroken("The repeated request is not answered with the first movement.")
    return None


def _movement_id(said: dict[str, object]) -> object:
    movement = said.get("movement")
    return movement.get("id") if isinstance(movement, dict) else None


def _once_at_once(run: CheckRun) -> str | None:
    card = run.the_card()
    key, before = new_key("at-once"), card.read().balance_minor

    def send(_: int) -> Answer | RuleBroken:
        try:
            return card.move(-card.unit, key)
        except RuleBroken as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(send, range(_AT_ONCE)))
    now = card.read()
    landed = len(now.landed(key))
    if landed > 1 or now.balance_minor < before - card.unit:
        raise RuleBroken(f"{_AT_ONCE} equal requests at the same time moved money {landed} times.")
    if landed == 0:
        raise RuleBroken("None of several equal requests at the same time was carried out.")
    good = [one for one in answers if isinstance(one, Answer) and one.status in (200, 201)]
    return None if len(good) == _AT_ONCE else f"{_AT_ONCE - len(good)} of {_AT_ONCE} were not answered."


def _key_reused(run: CheckRun) -> str | None:
    card = run.the_card()
    key = new_key("reused")
    card.move(-card.unit, key).done()
    card.unchanged(lambda: card.move(-2 * card.unit, key).refused(409, "key_reused"))
    return None


def _no_key(run: CheckRun) -> str | None:
    card = run.the_card()
    body = {"amount": card.text(-card.unit), "currency": card.shop.currency}
    path = f"/cards/{card.id}/movements"
    card.unchanged(lambda: run.caller.ask("POST", path, body).refused(400, "invalid_request"))
    return None


def _too_much(run: CheckRun) -> str | None:
    card = run.the_card()
    above = card.read().balance_minor + 1
    card.unchanged(lambda: card.move(-above, new_key("much")).refused(409, "insufficient_funds"))
    return None


def _refusal_keeps_no_key(run: CheckRun) -> str | None:
    card = run.the_card()
    key, before = new_key("later"), card.read().balance_minor
    card.move(-(before + card.unit), key).refused(409, "insufficient_funds")
    card.move(card.unit, new_key("more")).done()
    _moved(card, -(before + card.unit), key, before + card.unit)
    card.move(5 * card.unit, new_key("back")).done()
    return None


def _amounts(run: CheckRun) -> str | None:
    card = run.the_card()
    unit = card.text(-card.unit)
    nothing = (card.text(0),) if "credit" in card.shop.features else ()

    def send() -> None:
        for wrong in (-1.0, unit + ("1" if "." in unit else ".1"), "-1e1", "", None, *nothing):
            body = {"amount": wrong, "currency": card.shop.currency}
            answer = run.caller.ask("POST", f"/cards/{card.id}/movements", body, key=new_key("amount"))
            try:
                answer.refused(400, "invalid_request")
            except RuleBroken as error:
                raise RuleBroken(f"To the amount {wrong!r}: {error}") from None

    card.unchanged(send)
    return None


def _currency(run: CheckRun) -> str | None:
    card = run.the_card()
    body = {"amount": card.text(-card.unit), "currency": "XTS"}

    def send() -> None:
        answer = run.caller.ask("POST", f"/cards/{card.id}/movements", body, key=new_key("currency"))
        if answer.code not in ("currency_mismatch", "invalid_request"):
            raise RuleBroken(f"The answer is {answer.in_words()}.")

    card.unchanged(send)
    return None


def _webhook(run: CheckRun) -> str | None:
    receiver, card = run.receiver, run.the_card()
    if receiver is None:
        raise RuleNotTried("Nobody listened: say --webhook-port and --webhook-secret-file.")
    run.caller.tell(f"Waiting for a webhook at {receiver.url}, {_WEBHOOK_SECONDS:.0f} s at most.")
    receiver.wait(1, _WEBHOOK_SECONDS)
    if not receiver.came:
        raise RuleBroken(f"Nothing came to {receiver.url} within {_WEBHOOK_SECONDS:.0f} seconds.")
    for one in receiver.came:
        if not is_signed(receiver.key, one.headers, one.body, datetime.now(UTC)):
            raise RuleBroken("A delivery is not signed with this secret, or its time is wrong.")
    if card.id not in {card_of(one.body) for one in receiver.came}:
        raise RuleBroken("No delivery names the test card as `data.card`.")
    return None


def _webhook_again(run: CheckRun) -> str | None:
    receiver = run.receiver
    if receiver is None or not receiver.came:
        raise RuleNotTried("Nobody listened.")
    first = receiver.came[0].headers.get("webhook-id")
    run.caller.tell(f"Waiting for the same webhook again, {_WEBHOOK_AGAIN_SECONDS:.0f} s at most.")
    waited = 0.0
    while waited < _WEBHOOK_AGAIN_SECONDS:
        if any(one.headers.get("webhook-id") == first for one in receiver.came[1:]):
            return None
        run.pause(1.0)
        waited += 1.0
    raise RuleBroken(f"What was answered 503 did not come again within {_WEBHOOK_AGAIN_SECONDS:.0f} seconds.")


def _expiry(run: CheckRun) -> str | None:
    card = run.the_card()
    day = (datetime.now(UTC) + _LATE).date().isoformat()
    for wanted in (day, None):
        for _ in range(2):
            if read_card(card.change(expires_on=wanted).done()).expires_on != _date(wanted):
                raise RuleBroken("The card that is answered has another `expires_on`.")
        if card.read().expires_on != _date(wanted):
            raise RuleBroken("`expires_on` does not read back as it was set.")
    return None


def _date(day: str | None) -> date | None:
    return None if day is None else date.fromisoformat(day)


def _expired(run: CheckRun) -> str | None:
    card = run.the_card()
    past = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    card.change(expires_on=past).done()
    try:
        card.unchanged(lambda: card.move(-card.unit, new_key("expired")).refused(409, "expired"))
    finally:
        card.change(expires_on=None).done()
    return None


def _suspend(run: CheckRun) -> str | None:
    card = run.the_card()
    for _ in range(2):
        card.change(status="suspended").done()
    try:
        card.unchanged(lambda: card.move(-card.unit, new_key("suspended")).refused(409, "not_active"))
    finally:
        card.change(status="active").done()
    if card.read().status != "active":
        raise RuleBroken("A suspended card does not become active again.")
    return None


def _book(run: CheckRun) -> str:
    card = run.the_card()
    before = card.read().movements or ()
    card.move(-card.unit, new_key("book")).done()
    after = card.read().movements or ()
    if list(after[: len(before)]) != list(before) or len(after) != len(before) + 1:
        raise RuleBroken("A movement changed, went away, or came in another place than the end.")
    return f"{len(after)} movements, the oldest first, add up to the balance."


def _emptied(run: CheckRun) -> str:
    card = run.the_card()
    left = emptied(card)
    if left:
        raise RuleBroken(f"{card.text(left)} {card.shop.currency} are left on the test card.")
    return f"The test card {card.id} holds nothing."


def _closed(run: CheckRun) -> str | None:
    card = run.the_card()
    if card.read().status != "closed":
        raise RuleBroken("The card that was closed is not `closed`.")
    if "suspend" in card.shop.features:
        card.change(status="active").refused(409, "not_active")
    if "credit" in card.shop.features:
        card.unchanged(lambda: card.move(card.unit, new_key("closed")).refused(409, "not_active"))
    return None


def _rule(
    name: str,
    sentence: str,
    remedy: str,
    attempt: Callable[[CheckRun], str | None],
    *needs: str,
    features: tuple[str, ...] = (),
) -> Rule:
    return Rule(name, sentence, remedy, attempt, needs, ("create", "debit", *features), moves=True)


_ONE_TRANSACTION: Final = (
    "Store the Idempotency-Key in the row of the movement, under a unique index, in the transaction that "
    "changes the balance."
)
MONEY: Final = (
    _rule(
        "leftovers",
        "No earlier check has left money on its card.",
        "Take it off by hand, in the shop.",
        _leftovers,
        "shop",
        "number.missing",
    ),
    _rule(
        "create",
        "A card is made with its whole amount as one movement, and both carry the key.",
        "See `POST /cards` and `WholeCard`.",
        _create,
        "shop",
        "changes",
        "leftovers",
    ),
    _rule(
        "create.once",
        "The same card asked for again under the same key is the same card.",
        "Store the Idempotency-Key in the card's row, under a unique index.",
        _create_again,
        "create",
    ),
    _rule(
        "create.taken",
        "A number in use is answered 409 with the code `number_taken`.",
        "Put a unique index on the number, without spaces and dashes, in lower case.",
        _number_taken,
        "create",
    ),
    _rule(
        "number.spelling",
        "A number is found with capitals, dashes and spaces.",
        "Compare numbers without spaces and dashes, and in any case.",
        _spelling,
        "create",
    ),
    _rule(
        "number.whole",
        "A number is compared whole.",
        "Never look a card up by its last four.",
        _whole_number,
        "create",
    ),
    _rule(
        "changes.told",
        "A card that changed is among the changes within six seconds.",
        "Write the change in the transaction that makes it.",
        _listed,
        "create",
    ),
    _rule(
        "debit",
        "Money is taken off exactly, as one movement that carries the key.",
        "See `POST /cards/ID/movements`.",
        _debit,
        "create",
    ),
    _rule(
        "credit",
        "Money is put on exactly, as one movement that carries the key.",
        "See `POST /cards/ID/movements`.",
        _credit,
        "create",
        features=("credit",),
    ),
    _rule(
        "once",
        "The same movement under the same key again moves nothing and is answered like the first.",
        _ONE_TRANSACTION,
        _once,
        "debit",
    ),
    _rule(
        "once.together",
        "Several equal requests at the same time move money once.",
        f"{_ONE_TRANSACTION} To look first and write then is not enough.",
        _once_at_once,
        "debit",
    ),
    _rule(
        "key.reused",
        "Another movement under a key in use is answered 409 with the code `key_reused`.",
        "Keep amount and card with the key, and compare them.",
        _key_reused,
        "once",
    ),
    _rule(
        "key.needed",
        "A movement without Idempotency-Key is answered 400, and moves nothing.",
        "Ask for the header before anything else.",
        _no_key,
        "debit",
    ),
    _rule(
        "funds",
        "More than the card holds is answered 409 with the code `insufficient_funds`, and moves nothing.",
        "Change the balance with a condition that it suffices, in one statement.",
        _too_much,
        "debit",
    ),
    _rule(
        "refusal.again",
        "What was refused can be asked again under the same key, and be carried out then.",
        "Keep a key only with what it made.",
        _refusal_keeps_no_key,
        "funds",
        "credit",
        features=("credit",),
    ),
    _rule(
        "amounts",
        "An amount that is a number, too fine, nothing, or no amount is answered 400, and moves nothing.",
        "Read amounts as decimal text; never through a float.",
        _amounts,
        "debit",
    ),
    _rule(
        "currency",
        "An amount in another currency is refused, and moves nothing.",
        "Compare `currency` with the card's.",
        _currency,
        "debit",
    ),
    _rule(
        "book",
        "The book only grows, at its end, and adds up.",
        "Insert movements; never update or delete one.",
        _book,
        "debit",
    ),
    _rule(
        "expiry",
        "The last day can be set, taken away, and set again to the same.",
        "See `PATCH /cards/ID`; null takes the date away.",
        _expiry,
        "create",
        features=("expiry",),
    ),
    _rule(
        "expired",
        "After its last day a card is answered 409 with the code `expired`, and moves nothing.",
        "Compare with the day in the shop's time zone.",
        _expired,
        "expiry",
        "debit",
        features=("expiry",),
    ),
    _rule(
        "suspend",
        "A suspended card moves nothing and can be made active again.",
        "Check the status in the statement that changes the balance.",
        _suspend,
        "debit",
        features=("suspend",),
    ),
    _rule(
        "webhook",
        "A change is told by a webhook that is signed and names the card.",
        "Sign `ID.TIMESTAMP.BODY`, the raw body, with the bytes that the base64 after `whsec_` stands for.",
        _webhook,
        "debit",
        features=("webhooks",),
    ),
    _rule(
        "webhook.again",
        "A webhook that is not taken comes again with the same id.",
        "Repeat it with growing waits until the answer is 2xx; sign each attempt anew.",
        _webhook_again,
        "webhook",
        features=("webhooks",),
    ),
    _rule(
        "emptied",
        "The test card is emptied.",
        "Take what is left off by hand, in the shop.",
        _emptied,
        "create",
    ),
    _rule(
        "closed",
        "A closed card moves nothing and stays closed.",
        "Refuse every other status for a closed card with 409 `not_active`.",
        _closed,
        "emptied",
        features=("close",),
    ),
)
