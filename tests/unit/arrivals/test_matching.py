"""What a matcher asks of a side and of the ledger for a card that it meets, without either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from connectors.memory import CAPABILITIES
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.arrivals.ahead import Ahead
from sync.arrivals.deferred import Deferred, read, why_unread
from sync.arrivals.match import Matched, Matcher, _with_serial
from sync.arrivals.numbers import Number, is_unused
from sync.decisions import causes
from sync.ledger.incoming.intake import Arrival
from sync.model import LinkRules, SideRules

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SERIAL = Serial("1000200030004000")
ARRIVAL = Arrival(4, "flow", CardRef("f-1", SERIAL), "4000", None, False, {}, 0)


def seen(**more: object) -> Seen:
    base = Seen("f-1", 100, "NOK", CardStatus.ACTIVE, "active", None, "4000", NOW, SERIAL)
    return replace(base, **more)  # type: ignore[arg-type]


class Asked:
    """Answers each call with what it is given for its name; remembers the calls."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.calls = answers, list[tuple[Any, ...]]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*asked: Any, **more: Any) -> Any:
            self.calls.append((name, *asked, *more.values()))
            answer = self.answers.get(name)
            return answer(*asked) if callable(answer) else answer

        return call


def matcher(intake: Asked | None = None, **more: Any) -> Matcher:
    link = SimpleNamespace(
        clock=lambda: NOW,
        sides=more.pop("sides", {"flow": None, "shopify": None}),
        rules=LinkRules({"flow": SideRules(), "shopify": replace(SideRules(), **more.pop("rules", {}))}),
        store=SimpleNamespace(vault=more.pop("vault", None)),
    )
    if "brands" in more:
        link.rules = SimpleNamespace(brands=more.pop("brands"))
    return Matcher(link, intake or Asked(), more.pop("pool", Asked()))  # type: ignore[arg-type]


def answered(reason: str) -> InDoubt:
    error = InDoubt(reason)
    error.answered = True
    return error


def raising(error: Exception) -> Callable[[], Observation]:
    def ask(*_: object) -> Observation:
        raise error

    return ask


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (answered("no JSON"), "no JSON"),
        (InDoubt("no answer"), ""),
        (NotSent("no connection"), ""),
        (Throttled("too fast", 1.0), ""),
        (SideClosed("no token", "log in"), ""),
    ],
    ids=str,
)
def test_given_a_side_that_cannot_be_read_then_the_card_waits_and_only_an_answer_is_a_persons(
    error: Exception, reason: str
) -> None:
    with pytest.raises(Deferred) as later:
        read(raising(error))

    assert (later.value.reason, str(later.value), later.value.in_time) == (reason, reason, False)


@pytest.mark.parametrize(
    ("there", "unused"),
    [
        (Absent(NOW), True),
        (seen(status=CardStatus.INACTIVE, balance_minor=0), True),
        (seen(status=CardStatus.INACTIVE, balance_minor=1), False),
        (seen(balance_minor=0), False),
        (Unreadable("no", NOW), False),
    ],
)
def test_given_a_number_then_it_is_free_if_it_is_not_there_or_waits_to_be_issued(
    there: Observation, unused: bool
) -> None:
    assert is_unused(there) is unused


@pytest.mark.parametrize(
    ("answer", "side", "why"),
    [
        (Unreadable("no JSON", NOW), "", "no JSON"),
        (Unreadable("no JSON", NOW), "flow", "flow shows the card of this number, and no JSON"),
        (Unreadable("no answer", NOW, answered=False), "flow", ""),
    ],
)
def test_given_an_answer_that_cannot_be_believed_then_a_person_reads_whose_it_is(
    answer: Unreadable, side: str, why: str
) -> None:
    assert why_unread(answer, side) == why


def test_given_a_serial_then_the_card_has_it_and_none_takes_nothing_away() -> None:
    other = Serial("9999")

    assert _with_serial(seen(serial=None), SERIAL) == seen()
    assert _with_serial(seen(), other) == seen(serial=other)
    assert _with_serial(seen(), None) == seen()


@pytest.mark.parametrize(("brand", "out"), [("gold", True), ("silver", False), ("", False)])
def test_given_an_excluded_brand_on_any_side_then_the_card_is_left_out_and_that_is_logged(
    brand: str, out: bool
) -> None:
    brands = SimpleNamespace(excludes=lambda side, brand: (side, brand) == ("shopify", "gold"))
    intake = Asked()

    with capture_logs() as logged:
        is_out = matcher(intake, brands=brands)._is_left_out(
            ARRIVAL, {"flow": seen(brand="gold"), "shopify": seen(brand=brand)}
        )

    assert is_out is out
    assert intake.calls == ([("leave_out", ARRIVAL, "gold")] if out else [])
    told = {
        "event": "a card is left out: its brand is excluded",
        "action": "card.left_out",
        "side": "shopify",
    }
    rest = {"card": "••••4000", "brand": "gold", "log_level": "info"}
    assert logged == ([told | rest] if out else [])


@pytest.mark.parametrize(("free", "warned"), [(0, False), (1, True), (49, True), (50, False)])
def test_given_few_numbers_then_the_log_warns_before_there_are_none(free: int, warned: bool) -> None:
    with capture_logs() as logged:
        matcher(sides={"flow": None}, pool=Asked(free=free)).numbers.warn_of_few()

    told = {"event": "the pool of numbers runs low", "action": "pool.low", "side": "flow", "free": free}
    assert logged == ([told | {"log_level": "warning"}] if warned else [])


def test_given_our_marker_of_a_card_that_the_hub_has_then_that_card_is_looked_at() -> None:
    intake = Asked(card_of=lambda side, card, marker: 7 if marker == "gs-1" else None)

    assert matcher(intake)._meet_made_by_us(ARRIVAL, seen(), "gs-1") is Matched.KNOWN
    assert intake.calls == [
        ("card_of", "flow", ARRIVAL.card, "gs-1"),
        ("make_due", [7], NOW),
        ("drop", ARRIVAL),
    ]


@pytest.mark.parametrize(
    ("ours", "last_chars", "cause"),
    [
        (True, "4000", causes.new_card_with_mark),
        (False, "4000", causes.other_ledger),
        (False, "", causes.other_ledger),
    ],
)
def test_given_a_marker_that_no_card_of_the_hub_has_then_a_person_is_told_whose_it_is(
    ours: bool, last_chars: str, cause: Callable[..., object]
) -> None:
    intake = Asked(card_of=None, is_awaited=False, is_ours=ours)
    arrival = replace(ARRIVAL, last_chars=last_chars)

    with pytest.raises(Deferred):
        matcher(intake)._meet_made_by_us(arrival, seen(last_chars="4000"), "gs-1")

    assert intake.calls[-1] == ("report", cause("flow", 4, seen(last_chars="4000"), "4000", "gs-1"), NOW)
    assert ("is_awaited", "gs-1", "flow") in intake.calls


def test_given_a_create_that_is_awaited_then_nobody_is_told_yet() -> None:
    intake = Asked(card_of=None, is_awaited=True)

    with pytest.raises(Deferred):
        matcher(intake)._meet_made_by_us(ARRIVAL, seen(), "gs-1")

    assert [call[0] for call in intake.calls] == ["card_of", "is_awaited"]


@pytest.mark.parametrize(
    ("there", "card", "found"),
    [
        (seen(created_by="gs-1"), CardRef("f-1", SERIAL), True),
        (seen(created_by=None), CardRef("f-1", SERIAL), True),
        (seen(created_by="gs-2"), CardRef("f-1", SERIAL), False),
        (seen(created_by="gs-1"), CardRef("f-1", None), True),
        (seen(created_by="gs-1", serial=None), CardRef("f-1", None), False),
        (Absent(NOW), CardRef("f-1", SERIAL), False),
    ],
)
def test_given_a_card_that_a_lost_ledger_made_then_it_is_found_by_its_marker(
    there: Observation, card: CardRef, found: bool
) -> None:
    side = Asked(observe=[there])

    number = matcher().numbers._made_there(side, card, {"gs-1"})  # type: ignore[arg-type]

    assert number == (Number(SERIAL, None, there) if found and isinstance(there, Seen) else None)
    assert side.calls == [("observe", [card])]
    with pytest.raises(Deferred):
        matcher().numbers._made_there(Asked(observe=[Unreadable("no", NOW)]), card, {"gs-1"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("there", "prefix", "found"),
    [
        (seen(created_by="gs-1"), "77", True),
        (seen(created_by="gs-2"), "77", False),
        (Absent(NOW), "77", False),
        (seen(created_by="gs-1"), None, False),
    ],
)
def test_given_a_key_that_was_rotated_then_the_number_that_followed_from_the_former_is_looked_up(
    there: Observation, prefix: str | None, found: bool
) -> None:
    former = Asked(create_digits="12345678901234")
    side = Asked(lookup=there)
    made = matcher(vault=SimpleNamespace(former=[former]), rules={"serial_prefix": prefix})

    number = made.numbers._made_under_former_key("shopify", side, "flow:f-1", {"gs-1"})  # type: ignore[arg-type]

    serial = Serial("7712345678901234")
    assert number == (Number(serial, None, there) if found and isinstance(there, Seen) else None)
    assert side.calls == ([("lookup", serial)] if prefix else [])
    assert former.calls == ([("create_digits", "flow:f-1", "shopify", 0, 14)] if prefix else [])
    unreadable = Asked(lookup=Unreadable("no", NOW))
    if prefix:
        with pytest.raises(Deferred):
            made.numbers._made_under_former_key("shopify", unreadable, "flow:f-1", {"gs-1"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("serial", "lengthens", "fits"),
    [
        ("12345678", False, ("12345678", None)),
        ("12345", False, ("12345", "has 5 characters; at least 8 are needed")),
        ("12345", True, ("giftsync12345", None)),
        (
            "1234567890123456789012345",
            True,
            ("1234567890123456789012345", "has 25 characters; at most 20 are allowed"),
        ),
    ],
)
def test_given_a_number_then_it_is_used_as_it_is_or_lengthened_or_said_why_not(
    serial: str, lengthens: bool, fits: tuple[str, str | None]
) -> None:
    side = SimpleNamespace(
        capabilities=replace(
            CAPABILITIES, serial_length_min=8, serial_length_max=20, serial_digits_only=False
        )
    )
    made = matcher(sides={"shopify": side}, rules={"lengthens": lengthens})

    theirs, reason = made.numbers.serial_for("shopify", Serial(serial))

    assert (theirs.reveal(), reason) == fits


@pytest.mark.parametrize(
    ("rules", "assigns"),
    [
        ({"assigns_numbers": True}, True),
        ({"assigns_numbers": True, "creates": False}, False),
        ({}, False),
    ],
)
def test_given_a_side_then_it_gives_numbers_only_to_cards_that_are_made_there(
    rules: dict[str, object], assigns: bool
) -> None:
    assert matcher(rules=rules).numbers.assigns("shopify") is assigns


def test_given_a_card_that_waits_for_our_own_create_then_time_alone_brings_it() -> None:
    later = Deferred("why", in_time=True)

    assert (str(later), later.reason, later.in_time) == ("why", "why", True)
    assert (Deferred().reason, Deferred().in_time) == ("", False)


# --- Known already, or not to be told yet -------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [0, 2])
def test_given_an_arrival_of_a_card_that_the_hub_has_then_it_is_looked_at_and_what_waited_is_over(
    attempts: int,
) -> None:
    arrival = replace(ARRIVAL, created_by="gs-1", attempts=attempts, card=CardRef("f-1", None))
    intake = Asked(card_of=7)

    assert matcher(intake).match(arrival) is Matched.KNOWN

    over = [
        *(("cause_gone", cause, NOW) for cause in causes.causes_of_arrival("flow", 4)),
        ("cause_gone", causes.no_numbers("shopify"), NOW),
    ]
    assert intake.calls == [
        ("card_of", "flow", arrival.card, "gs-1"),
        ("make_due", [7], NOW),
        ("drop", arrival),
        *(over if attempts else []),
    ]


@pytest.mark.parametrize(
    ("attempts", "waits", "told"),
    [(0, 5, False), (1, 10, False), (2, 20, True), (3, 40, True), (7, 600, True), (9_999, 600, True)],
)
@pytest.mark.parametrize(("in_time", "reason"), [(False, "no JSON"), (False, ""), (True, "")])
def test_given_an_arrival_that_cannot_be_decided_then_it_waits_ever_longer_and_a_person_reads_why(
    attempts: int, waits: int, told: bool, in_time: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival = replace(ARRIVAL, attempts=attempts)
    intake = Asked(card_of=None)

    def defer(*_: object) -> None:
        raise Deferred(reason, in_time=in_time)

    monkeypatch.setattr(Matcher, "_meet", defer)

    assert matcher(intake).match(arrival) is Matched.WAITS
    _, *calls = intake.calls
    reported = ("report", causes.new_card_unreadable("flow", 4, "4000", reason), NOW)
    postponed = ("postpone", arrival, NOW + timedelta(seconds=waits), told and not in_time)
    assert calls == ([reported] if told and reason else []) + [postponed]


@pytest.mark.parametrize(
    ("shown", "bought", "acknowledged", "attempts", "waits", "told"),
    [
        ({}, False, False, 0, True, False),  # The feed that tells of its order may come a little later.
        ({}, False, False, 1, True, True),
        ({}, False, True, 1, False, False),
        ({}, True, False, 1, False, False),
        ({"status": CardStatus.SUSPENDED}, False, False, 1, False, False),
        ({"balance_minor": 0}, False, False, 1, False, False),
        ({"balance_minor": 1}, False, False, 1, True, True),
        ({"last_chars": "40ab"}, False, False, 1, False, False),
    ],
)
def test_given_an_online_card_that_may_be_a_store_card_then_a_persons_word_is_waited_for(
    shown: dict[str, object], bought: bool, acknowledged: bool, attempts: int, waits: bool, told: bool
) -> None:
    arrival = replace(ARRIVAL, sold_here=bought, attempts=attempts)
    intake, card = Asked(was_acknowledged=acknowledged), seen(**shown)

    assert matcher(intake)._waits_for_a_word(arrival, card) is waits

    why = "it was not bought online and its code ends in four digits, as store numbers do"
    conflict = causes.may_be_store_card("flow", 4, card, why)
    reports = [call for call in intake.calls if call[0] == "report"]
    assert reports == ([("report", conflict, NOW)] if told else [])
    assert [c[1] for c in intake.calls if c[0] == "was_acknowledged"] in ([], [conflict.cause])


def test_given_another_currency_than_the_links_then_the_card_is_left_alone_and_that_is_told() -> None:
    intake = Asked()
    made = matcher(intake)
    made.link.currency = "NOK"  # type: ignore[misc]

    assert made._same_currency(ARRIVAL, seen())
    assert intake.calls == []
    assert not made._same_currency(ARRIVAL, seen(currency="SEK"))
    told = causes.new_card_currency("flow", 4, seen(currency="SEK"), "4000", "NOK")
    assert intake.calls == [("report", told, NOW)]


@pytest.mark.parametrize(
    ("by_number", "legacy", "by_legacy", "found", "asked"),
    [
        (seen(), "12345678", None, (SERIAL, seen()), 1),
        (Absent(NOW), "12345678", seen(native_id="f-9"), (Serial("12345678"), seen(native_id="f-9")), 2),
        (Absent(NOW), "12345678", Absent(NOW), (SERIAL, Absent(NOW)), 2),
        (Absent(NOW), "123", seen(native_id="f-9"), (SERIAL, Absent(NOW)), 1),  # No number of that side.
        (Absent(NOW), None, seen(native_id="f-9"), (SERIAL, Absent(NOW)), 1),
    ],
)
def test_given_a_card_with_an_older_number_then_it_is_looked_for_under_both(
    by_number: Observation,
    legacy: str | None,
    by_legacy: Observation | None,
    found: tuple[Serial, Observation],
    asked: int,
) -> None:
    side = Asked(lookup=lambda serial: by_number if serial == SERIAL else by_legacy)
    side.capabilities = replace(CAPABILITIES, serial_length_min=8)  # type: ignore[attr-defined]
    older = None if legacy is None else Serial(legacy)

    made = matcher(sides={"shopify": side})._find("shopify", SERIAL, older, Ahead())

    assert (made, len(side.calls)) == (found, asked)
