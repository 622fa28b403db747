"""A card that is met: what is kept of each side, and whose word counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.api.card import Absent, Entry, Seen
from connectors.api.errors import Refusal
from mappings.serials import Serial
from sync.decisions import causes, first_contact
from sync.decisions.draft import Draft
from sync.model import (
    Card,
    Closing,
    Decision,
    FirstContact,
    Hold,
    IntentState,
    LinkRules,
    Presence,
    SideRules,
)
from tests.unit.decisions.test_decide import (
    ACTIVE,
    BUYER,
    CLOSED,
    LATER,
    NOW,
    RULES,
    SOON,
    SUSPENDED,
    TODAY,
    A,
    B,
    card,
    meet,
    moves,
    observe,
    presence,
    rules_for,
    seen,
    to_create,
)
from tests.unit.decisions.test_decide import TRIED as DEBIT

REFUSED = IntentState.REFUSED


# --- First contact ------------------------------------------------------------------------------------------


def test_given_a_card_that_is_met_then_its_presence_has_all_that_the_side_shows() -> None:
    serial = Serial("12345678")
    shown = seen(
        100,
        native_id="x-4",
        serial=serial,
        brand="gold",
        expires_on=SOON,
        status=SUSPENDED,
        entries=(Entry("e1", 100, NOW, None),),
    )

    decision = meet({A: shown})

    met = Presence(A, "x-4", serial, "5678", 100, SUSPENDED, SOON, brand="gold", book_cursor="e1")
    assert decision.card == Card("NOK", 100, SUSPENDED, SOON, (met,))
    assert first_contact.open_card({A: replace(shown, brand="", entries=())}, (), RULES).presence(
        A
    ) == replace(met, brand=None, book_cursor="")


@pytest.mark.parametrize(
    ("rules", "ends_as"),
    [
        (RULES, (SUSPENDED, SOON)),
        (rules_for(A, tells_status=False), (ACTIVE, SOON)),
        (rules_for(A, tells_expiry=False), (SUSPENDED, LATER)),
        # Where no side's word counts, the first has it.
        (LinkRules({A: SideRules(tells_status=False), B: SideRules(tells_status=False)}), (SUSPENDED, SOON)),
        (LinkRules({A: SideRules(tells_expiry=False), B: SideRules(tells_expiry=False)}), (SUSPENDED, SOON)),
    ],
    ids=["both", "no status of a", "no date of a", "no status", "no date"],
)
def test_given_first_contact_then_the_words_of_those_sides_count_that_the_link_says(
    rules: LinkRules, ends_as: tuple[object, object]
) -> None:
    decision = meet({A: seen(status=SUSPENDED, expires_on=SOON), B: seen(expires_on=LATER)}, rules=rules)

    assert (decision.card.status, decision.card.expires_on) == ends_as


def test_given_a_create_that_meets_a_card_then_nothing_of_the_create_is_left() -> None:
    b = to_create(
        B, stale=True, refusal=Refusal.TAKEN, refusals=1, brand="silver", contact=BUYER, note="Shopify 4000"
    )
    shown = seen(
        100,
        native_id="x-4",
        brand="gold",
        expires_on=SOON,
        status=SUSPENDED,
        entries=(Entry("e1", 100, NOW, None),),
    )

    draft = Draft(card(presence(A, shadow_expires_on=LATER), b, expires_on=LATER))
    first_contact.join_presence(draft, B, shown, RULES)

    joined = presence(
        B,
        100,
        native_id="x-4",
        brand="gold",
        shadow_status=SUSPENDED,
        shadow_expires_on=SOON,
        book_cursor="e1",
        note="Shopify 4000",
    )
    assert draft.card == card(presence(A, shadow_expires_on=LATER), joined, status=SUSPENDED, expires_on=SOON)


@pytest.mark.parametrize(
    ("rules", "shown", "ends_as"),
    [
        (rules_for(B, tells_status=False), {"status": SUSPENDED}, (ACTIVE, LATER)),
        (rules_for(B, tells_expiry=False), {"expires_on": SOON}, (ACTIVE, LATER)),
        (RULES, {"status": None}, (ACTIVE, LATER)),
        (RULES, {"status": CLOSED, "expires_on": SOON}, (CLOSED, LATER)),
        (
            LinkRules(RULES.sides, closing=Closing.CONFLICT),
            {"status": CLOSED, "expires_on": SOON},
            (ACTIVE, LATER),
        ),
    ],
    ids=["no status", "no date", "unknown status", "closed", "closed there alone"],
)
def test_given_a_create_that_meets_a_card_then_what_the_side_may_say_counts(
    rules: LinkRules, shown: dict[str, object], ends_as: tuple[object, object]
) -> None:
    draft = Draft(card(presence(A, shadow_expires_on=LATER), to_create(B), expires_on=LATER))

    first_contact.join_presence(draft, B, replace(seen(100, expires_on=LATER), **shown), rules)  # type: ignore[arg-type]

    assert (draft.card.status, draft.card.expires_on) == ends_as


def test_given_a_person_who_takes_the_sides_as_they_are_then_only_the_card_is_known() -> None:
    a = presence(
        A,
        100,
        stale=True,
        hold=Hold.REFUSED,
        refusal=Refusal.OTHER,
        refusals=2,
        unreadable=1,
        book_cursor="e0",
    )
    draft = Draft(card(a, presence(B, 80), status=SUSPENDED, expires_on=LATER))
    shown = {
        A: seen(70, expires_on=SOON, entries=(Entry("e1", -30, NOW, None),)),
        B: seen(80, status=CLOSED, expires_on=TODAY),
    }

    first_contact.meet_again(draft, shown, RULES)

    assert draft.card == card(
        presence(A, 70, shadow_expires_on=SOON, book_cursor="e1"),
        presence(B, 80, shadow_status=CLOSED, shadow_expires_on=TODAY),
        status=CLOSED,
        expires_on=SOON,
    )
    assert moves(draft.decision()) == [("adopted", A, 0, -30, 100)]


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (presence(A), Absent(NOW)),
        (presence(A), seen(70, currency="SEK")),
        (presence(A), seen(70, last_chars="9999")),
        (presence(A), seen(70, status=None)),
        (to_create(A), seen(70)),
        (presence(A, open_intents=(DEBIT,)), seen(70)),
    ],
    ids=["absent", "currency", "another number", "status", "not born", "under way"],
)
def test_given_a_side_that_does_not_show_the_card_as_it_is_then_it_is_not_met_again(
    p: Presence, shown: Seen | Absent
) -> None:
    draft = Draft(card(p, presence(B), status=SUSPENDED, expires_on=LATER))

    first_contact.meet_again(draft, {A: shown}, RULES)

    assert draft.decision() == Decision(card(p, presence(B), status=SUSPENDED, expires_on=LATER))


@pytest.mark.parametrize(
    ("known", "shown", "same"),
    [
        ("5678", "5678", True),
        ("5678", "78", True),
        ("78", "5678", True),
        ("AB78", "ab78", True),
        ("ab78", "AB78", True),
        ("5678", "5679", False),
        ("5678", "56", False),
    ],
)
def test_given_two_ends_of_a_number_then_the_shorter_is_the_end_of_the_longer(
    known: str, shown: str, same: bool
) -> None:
    assert first_contact.shows_it(presence(A, last_chars=known), seen(last_chars=shown)) is same


def test_given_a_policy_that_changes_the_worth_then_the_movement_says_why() -> None:
    decision = meet({A: seen(100), B: seen(70)}, rules=LinkRules(RULES.sides, FirstContact.LOWER))

    assert decision.movements[2].evidence == {"policy": "first_contact", A: 100, B: 70}
    same = meet({A: seen(70), B: seen(100)}, rules=LinkRules(RULES.sides, FirstContact.LOWER))
    assert [m.kind.value for m in same.movements] == ["opening", "adopted"]


@pytest.mark.parametrize(
    ("bought", "last_chars", "why"),
    [
        (True, "4000", None),
        (False, "40ab", None),
        (False, "4000", "it was not bought online and its code ends in four digits, as store numbers do"),
    ],
)
def test_given_a_card_of_the_online_shop_alone_then_it_may_be_one_of_the_store(
    bought: bool, last_chars: str, why: str | None
) -> None:
    assert first_contact.may_be_store_card(seen(last_chars=last_chars), bought) == why


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (presence(A, stale=True), Absent(NOW)),
        (to_create(A, stale=True), seen(70)),
        (presence(A, stale=True, open_intents=(DEBIT,)), seen(70)),
        (presence(A, stale=True), seen(70, currency="SEK")),
    ],
    ids=["absent", "not born", "under way", "currency"],
)
def test_given_a_held_card_then_a_side_that_does_not_show_it_changes_nothing(
    p: Presence, shown: Seen | Absent
) -> None:
    c = card(p, presence(B), held=True)

    assert observe(c, a=shown) == Decision(c)


def test_given_a_held_card_that_moves_and_closes_on_a_side_then_its_shadow_follows() -> None:
    c = card(presence(A, stale=True, book_cursor="e0"), presence(B), held=True)
    shown = seen(70, status=CLOSED, entries=(Entry("e1", -30, NOW, None),))

    decision = observe(c, a=shown)

    after = card(
        presence(A, 70, shadow_status=CLOSED, book_cursor="e1"), presence(B), held=True, status=CLOSED
    )
    assert decision.card == after
    assert decision.conflicts == (causes.first_contact(after, {A: 0, B: 100}),)
    contained = observe(c, LinkRules(RULES.sides, closing=Closing.CONFLICT), a=shown)
    assert contained.card == replace(after, status=ACTIVE)
