"""What every side promises, as tests. A connector inherits `SideContract` and provides two fixtures.

`side` is the connector under test, and `world` is everything else that can touch the same cards: customers,
cashiers and accidents. The world tells the ground truth without going through the connector, so that a
connector cannot confirm its own misreading.

A subclass lives in `test_<side>.py`:

    class TestMemory(SideContract):
        @pytest.fixture
        def world(self) -> World: ...

        @pytest.fixture
        def side(self, world: World) -> Side: ...
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from enum import StrEnum
from typing import Protocol

import pytest

from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refusal,
    Refused,
    SideError,
    Throttled,
)
from connectors.api.side import (
    Absent,
    Applied,
    CardRef,
    Effect,
    EffectKind,
    FindResult,
    Found,
    Hint,
    HintPage,
    NotFound,
    Observation,
    Seen,
    Side,
)
from mappings.lifecycle import CardStatus
from mappings.serials import Serial

PAGES_MAX = 200
EXPIRY = date(2031, 5, 17)


class Mishap(StrEnum):
    """What goes wrong with the request that moves the money."""

    #: The connection breaks and nothing happened.
    DROP_REQUEST = "drop_request"
    #: It happened; the answer is lost.
    DROP_RESPONSE = "drop_response"
    #: The connection breaks at once; it happens when `settle_late` is called.
    LATE_APPLY = "late_apply"
    #: The side breaks; whether it happened is open.
    SERVER_ERROR = "error_500"
    #: "Too fast"; nothing happened.
    THROTTLE = "throttle"


#: The mishaps that the conservation test draws from.
MISHAPS = [Mishap.DROP_REQUEST, Mishap.DROP_RESPONSE, Mishap.LATE_APPLY, Mishap.THROTTLE]


class World(Protocol):
    """The side without the connector. Amounts are minor units of `currency`; they are positive."""

    currency: str
    #: What the side calls its own kind of card, if a create must name one.
    brand: str | None

    def sell(self, amount_minor: int) -> CardRef:
        """A customer buys a card here. The reference holds what the connector is asked by."""
        ...

    def spend(self, card: CardRef, amount_minor: int) -> None:
        """A customer pays with the card here."""
        ...

    def load(self, card: CardRef, amount_minor: int) -> None:
        """Somebody but giftsync puts money on the card here."""
        ...

    def balance(self, card: CardRef) -> int:
        """The true balance."""
        ...

    def unknown_card(self) -> CardRef:
        """A well-formed reference that no card answers to."""
        ...

    def new_serial(self) -> Serial:
        """A serial that the side would take and does not have, a different one each time."""
        ...

    def fail_next(self, kind: Mishap) -> None:
        """The next request that writes meets `kind`; reads and later writes do not.

        Where an effect needs several requests, the one that moves the money (or makes the card) is meant.
        Calls `pytest.skip` for a mishap that the side cannot have.
        """
        ...

    def settle_late(self) -> None:
        """Return once nothing is left to happen by itself: late requests have landed, indexes are fresh."""
        ...

    def unreachable(self) -> Side:
        """The same connector, pointed at a host that takes no connections."""
        ...


class Saved:
    """Remembers what an effect saves on its way, as the ledger would."""

    def __init__(self) -> None:
        self.progress: dict[str, str] = {}

    def __call__(self, progress: Mapping[str, str]) -> None:
        self.progress.update(progress)


_numbers = itertools.count(1)


def marker() -> str:
    """A fresh marker, as an intent would have."""
    return f"gs-contract{next(_numbers):06d}"


def observe(side: Side, card: CardRef, *, entries: bool = False) -> Observation:
    (observation,) = side.observe([card], entries=entries)
    return observation


def seen(side: Side, card: CardRef, *, entries: bool = False) -> Seen:
    observation = observe(side, card, entries=entries)
    assert isinstance(observation, Seen), observation
    return observation


def found(side: Side, effect: Effect, saved: Saved) -> FindResult:
    """Look for the effect as recovery does: with what its attempt saved."""
    return side.find(replace(effect, progress=saved.progress))


def texts_of(error: BaseException) -> str:
    """Everything that a log could show of an error and of what led to it."""
    parts: list[str] = []
    queue: list[BaseException | None] = [error]
    while queue and len(parts) < 64:
        item = queue.pop()
        if item is not None:
            parts += [str(item), repr(item), repr(item.args), repr(vars(item))]
            # An error raised `from None` prints no context.
            queue += [item.__cause__, None if item.__suppress_context__ else item.__context__]
    return " ".join(parts)


def drain(pages: Iterator[HintPage]) -> tuple[list[Hint], str | None]:
    """All hints of a feed and its last cursor."""
    hints: list[Hint] = []
    cursor: str | None = None
    for count, page in enumerate(pages, start=1):
        assert count <= PAGES_MAX, "the feed does not end"
        hints += page.hints
        cursor = page.cursor
    return hints, cursor


class SideContract:
    """Inherited by every connector's tests; `side` and `world` come from the subclass."""

    # What the helpers share.

    def move(self, world: World, kind: EffectKind, card: CardRef, amount_minor: int) -> Effect:
        return Effect(marker(), kind, card, world.currency, amount_minor)

    def credit(self, world: World, card: CardRef, amount_minor: int) -> Effect:
        return self.move(world, EffectKind.CREDIT, card, amount_minor)

    def debit(self, world: World, card: CardRef, amount_minor: int) -> Effect:
        return self.move(world, EffectKind.DEBIT, card, amount_minor)

    def create(self, world: World, serial: Serial, amount_minor: int) -> Effect:
        card = CardRef(serial=serial)
        return Effect(
            marker(),
            EffectKind.CREATE,
            card,
            world.currency,
            amount_minor,
            brand=world.brand,
            note="bought in the store",
        )

    def need(self, side: Side, kind: EffectKind) -> None:
        """Skip where the side cannot carry out such an effect."""
        can = side.capabilities
        able = {
            EffectKind.CREATE: can.creates,
            EffectKind.CREDIT: can.credits,
            EffectKind.DEBIT: can.debits,
            EffectKind.SET_EXPIRY: can.sets_expiry,
            EffectKind.SET_STATUS: bool(can.sets_status),
            EffectKind.NOTIFY: can.notifies,
        }
        if not able[kind]:
            pytest.skip(f"{side.name} cannot {kind}")

    # Reading.

    def test_identity_is_stable_and_names_the_currency(self, side: Side, world: World) -> None:
        first = side.identify()

        assert first == side.identify()
        assert first.identity
        assert first.timezone
        assert first.currency == world.currency

    def test_nothing_is_observed_when_nothing_is_asked(self, side: Side) -> None:
        assert list(side.observe([])) == []

    def test_an_unknown_card_is_absent(self, side: Side, world: World) -> None:
        assert isinstance(observe(side, world.unknown_card()), Absent)
        assert isinstance(observe(side, world.unknown_card(), entries=True), Absent)

    def test_observations_come_in_the_order_asked(self, side: Side, world: World) -> None:
        low, high = world.sell(10_00), world.sell(20_00)

        observations = list(side.observe([high, world.unknown_card(), low]))

        assert [o.balance_minor if isinstance(o, Seen) else type(o) for o in observations] == [
            20_00,
            Absent,
            10_00,
        ]

    def test_more_cards_than_one_read_may_ask_for(self, side: Side, world: World) -> None:
        card = world.sell(10_00)
        count = side.capabilities.read_batch_max + 1
        if count > 1_000:
            pytest.skip("one read may ask for more cards than a test should make")

        observations = list(side.observe([card] * count))

        assert [o.balance_minor for o in observations if isinstance(o, Seen)] == [10_00] * count

    def test_what_customers_do_is_seen_exactly(self, side: Side, world: World) -> None:
        card = world.sell(100_00)
        assert seen(side, card).balance_minor == 100_00

        world.spend(card, 33_33)
        assert seen(side, card).balance_minor == 66_67

        world.load(card, 1)
        observation = seen(side, card)
        assert observation.balance_minor == 66_68 == world.balance(card)
        assert observation.currency == world.currency
        assert observation.status is CardStatus.ACTIVE
        assert observation.at.tzinfo is not None

    # Moving money.

    @pytest.mark.parametrize("kind", [EffectKind.CREDIT, EffectKind.DEBIT])
    def test_a_move_changes_the_balance_by_exactly_its_amount(
        self, side: Side, world: World, kind: EffectKind
    ) -> None:
        self.need(side, kind)
        card = world.sell(100_00)
        effect, saved = self.move(world, kind, card, 12_34), Saved()

        applied = side.apply(effect, saved)

        after = 112_34 if kind is EffectKind.CREDIT else 87_66
        assert isinstance(applied, Applied)
        assert applied.balance_minor in {None, after}
        assert world.balance(card) == after
        result = found(side, effect, saved)
        assert isinstance(result, Found)
        assert result.landings == 1

    @pytest.mark.parametrize("kind", [EffectKind.CREDIT, EffectKind.DEBIT])
    def test_a_move_that_was_never_sent_is_not_found(
        self, side: Side, world: World, kind: EffectKind
    ) -> None:
        self.need(side, kind)
        card = world.sell(100_00)
        # Another move of the same amount must not be taken for it.
        side.apply(self.move(world, kind, card, 10_00), Saved())

        assert side.find(self.move(world, kind, card, 10_00)) == NotFound()

    def test_the_whole_balance_can_be_debited(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.DEBIT)
        card = world.sell(41_01)

        side.apply(self.debit(world, card, 41_01), Saved())

        assert seen(side, card).balance_minor == 0 == world.balance(card)

    def test_a_debit_above_the_balance_is_refused_and_moves_nothing(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.DEBIT)
        card = world.sell(100_00)
        effect, saved = self.debit(world, card, 100_01), Saved()

        with pytest.raises(Refused) as caught:
            side.apply(effect, saved)

        assert caught.value.reason is Refusal.INSUFFICIENT_FUNDS
        assert world.balance(card) == 100_00
        assert found(side, effect, saved) == NotFound()

    def test_a_move_on_an_unknown_card_is_refused(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREDIT)

        with pytest.raises(Refused) as caught:
            side.apply(self.credit(world, world.unknown_card(), 1_00), Saved())

        assert caught.value.reason is Refusal.NOT_FOUND

    def test_entries_add_up_and_carry_the_marker(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREDIT)
        if not side.capabilities.lists_entries:
            pytest.skip(f"{side.name} lists no entries")
        card = world.sell(100_00)
        before = seen(side, card, entries=True)
        effect = self.credit(world, card, 5_00)

        side.apply(effect, Saved())

        after = seen(side, card, entries=True)
        assert before.entries is not None
        assert after.entries is not None
        new = after.entries[len(before.entries) :]
        assert [(entry.amount_minor, entry.marker) for entry in new] == [(5_00, effect.marker)]
        assert after.balance_minor - before.balance_minor == sum(entry.amount_minor for entry in new)

    # When the request that moves the money goes wrong.

    def test_a_dropped_response_is_in_doubt_and_found(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.DEBIT)
        card = world.sell(100_00)
        effect, saved = self.debit(world, card, 30_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)

        with pytest.raises(InDoubt):
            side.apply(effect, saved)

        result = found(side, effect, saved)
        assert isinstance(result, Found)
        assert result.landings == 1
        assert world.balance(card) == 70_00

    def test_a_dropped_request_is_in_doubt_and_not_found(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.DEBIT)
        card = world.sell(100_00)
        effect, saved = self.debit(world, card, 30_00), Saved()
        world.fail_next(Mishap.DROP_REQUEST)

        with pytest.raises(InDoubt):
            side.apply(effect, saved)

        assert found(side, effect, saved) == NotFound()
        assert world.balance(card) == 100_00

        # What is surely not there may be sent again, with what the first attempt saved.
        side.apply(replace(effect, progress=saved.progress), saved)
        assert world.balance(card) == 70_00

    def test_a_request_that_lands_late_is_found_once_it_has(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREDIT)
        card = world.sell(100_00)
        effect, saved = self.credit(world, card, 30_00), Saved()
        world.fail_next(Mishap.LATE_APPLY)

        with pytest.raises(InDoubt):
            side.apply(effect, saved)
        world.settle_late()

        result = found(side, effect, saved)
        assert isinstance(result, Found)
        assert result.landings == 1
        assert world.balance(card) == 130_00

    def test_a_broken_side_is_in_doubt_and_find_knows_the_truth(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREDIT)
        card = world.sell(100_00)
        effect, saved = self.credit(world, card, 30_00), Saved()
        world.fail_next(Mishap.SERVER_ERROR)

        with pytest.raises(InDoubt):
            side.apply(effect, saved)

        moved = isinstance(found(side, effect, saved), Found)
        assert world.balance(card) == (130_00 if moved else 100_00)

    def test_a_throttled_move_surely_did_not_happen(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREDIT)
        card = world.sell(100_00)
        effect, saved = self.credit(world, card, 30_00), Saved()
        world.fail_next(Mishap.THROTTLE)

        with pytest.raises(Throttled) as caught:
            side.apply(effect, saved)

        assert 0 <= caught.value.wait_seconds <= 300
        assert world.balance(card) == 100_00
        assert found(side, effect, saved) == NotFound()

    def test_without_a_connection_nothing_was_sent(self, world: World) -> None:
        card, unreachable = world.sell(100_00), world.unreachable()
        self.need(unreachable, EffectKind.CREDIT)
        effect = self.credit(world, card, 30_00)

        with pytest.raises(NotSent):
            unreachable.apply(effect, Saved())
        with pytest.raises(NotSent):
            list(unreachable.observe([card]))

        assert world.balance(card) == 100_00
        unreachable.close()

    def test_money_is_conserved_through_any_mishaps(self, side: Side, world: World) -> None:
        """A small worker: what is in doubt is looked for, and sent again only when it is surely not there."""
        self.need(side, EffectKind.CREDIT)
        self.need(side, EffectKind.DEBIT)
        dice = random.Random(7)
        card, expected = world.sell(1_000_00), 1_000_00
        for _ in range(24):
            kind = dice.choice([EffectKind.CREDIT, EffectKind.DEBIT])
            effect, saved = self.move(world, kind, card, dice.randrange(1, 20_00)), Saved()
            for mishap in dice.choices(MISHAPS, k=2):
                world.fail_next(mishap)
                if self.carried_out(side, world, effect, saved):
                    break
            else:
                assert self.carried_out(side, world, effect, saved)
            expected += effect.amount_minor if kind is EffectKind.CREDIT else -effect.amount_minor
            assert world.balance(card) == expected
            result = found(side, effect, saved)
            assert isinstance(result, Found)
            assert result.landings == 1

    def carried_out(self, side: Side, world: World, effect: Effect, saved: Saved) -> bool:
        """Try once; whether the effect is surely there, else surely not."""
        try:
            side.apply(replace(effect, progress=saved.progress), saved)
        except Throttled:
            return False
        except InDoubt:
            world.settle_late()
            result = found(side, effect, saved)
            assert isinstance(result, Found | NotFound), result
            return isinstance(result, Found)
        return True

    # Making cards.

    def test_a_created_card_is_found_by_its_whole_serial(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREATE)
        serial = world.new_serial()
        effect, saved = self.create(world, serial, 250_00), Saved()

        applied = side.apply(effect, saved)
        world.settle_late()

        observation = side.lookup(serial)
        assert isinstance(observation, Seen)
        assert observation.native_id == applied.native_id
        assert observation.balance_minor == 250_00
        assert observation.last_chars == serial.last_chars
        assert observation.created_by == effect.marker
        result = found(side, effect, saved)
        assert isinstance(result, Found)
        assert (result.landings, result.native_id) == (1, applied.native_id)

    def test_a_serial_nobody_used_is_absent(self, side: Side, world: World) -> None:
        assert isinstance(side.lookup(world.new_serial()), Absent)

    def test_a_shared_last_four_is_another_card(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREATE)
        serial = world.new_serial()
        side.apply(self.create(world, serial, 250_00), Saved())
        world.settle_late()
        other = world.new_serial().reveal()
        alike = Serial(other[:-4] + serial.last_chars)

        assert isinstance(side.lookup(alike), Absent)

    def test_a_serial_in_use_is_refused(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREATE)
        serial = world.new_serial()
        first = side.apply(self.create(world, serial, 250_00), Saved())
        world.settle_late()

        with pytest.raises(Refused) as caught:
            side.apply(self.create(world, serial, 1_00), Saved())

        assert caught.value.reason is Refusal.TAKEN
        assert caught.value.native_id in {None, first.native_id}
        assert world.balance(CardRef(first.native_id, serial)) == 250_00

    def test_the_same_create_again_makes_no_second_card(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREATE)
        effect, saved = self.create(world, world.new_serial(), 250_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)
        with pytest.raises(InDoubt):
            side.apply(effect, saved)
        world.settle_late()

        refusal: Refused | None = None
        try:
            again = side.apply(replace(effect, progress=saved.progress), saved).native_id
        except Refused as error:
            refusal, again = error, error.native_id or ""

        assert refusal is None or refusal.reason is Refusal.TAKEN
        result = found(side, effect, saved)
        assert isinstance(result, Found)
        assert result.native_id == again
        assert world.balance(CardRef(result.native_id, effect.card.serial)) == 250_00

    def test_a_create_that_was_never_sent_is_not_found(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREATE)

        assert side.find(self.create(world, world.new_serial(), 250_00)) == NotFound()

    # Status and expiry.

    @pytest.mark.parametrize("expires_on", [EXPIRY, None])
    def test_an_expiry_reads_back(self, side: Side, world: World, expires_on: date | None) -> None:
        self.need(side, EffectKind.SET_EXPIRY)
        card = world.sell(100_00)
        other = None if expires_on else EXPIRY
        for wanted in (other, expires_on):
            effect = Effect(marker(), EffectKind.SET_EXPIRY, card, world.currency, expires_on=wanted)
            saved = Saved()
            side.apply(effect, saved)
            side.apply(replace(effect, progress=saved.progress), saved)
            assert isinstance(found(side, effect, saved), Found)

        assert seen(side, card).expires_on == expires_on
        assert world.balance(card) == 100_00

    @pytest.mark.parametrize("status", [CardStatus.SUSPENDED, CardStatus.CLOSED])
    def test_a_status_reads_back_and_stops_the_card(
        self, side: Side, world: World, status: CardStatus
    ) -> None:
        if status not in side.capabilities.sets_status:
            pytest.skip(f"{side.name} cannot set {status}")
        card = world.sell(100_00)
        effect = Effect(marker(), EffectKind.SET_STATUS, card, world.currency, status=status)
        assert side.find(effect) == NotFound()

        side.apply(effect, Saved())
        side.apply(effect, Saved())

        assert seen(side, card).status is status
        assert isinstance(side.find(effect), Found)
        if status is CardStatus.SUSPENDED and side.capabilities.moves_when_suspended:
            return
        if side.capabilities.credits:
            before = world.balance(card)
            with pytest.raises(Refused) as caught:
                side.apply(self.credit(world, card, 1_00), Saved())
            assert caught.value.reason in {Refusal.NOT_ACTIVE, Refusal.EXPIRED}
            assert world.balance(card) == before

    def test_a_suspension_can_be_lifted(self, side: Side, world: World) -> None:
        if not {CardStatus.SUSPENDED, CardStatus.ACTIVE} <= side.capabilities.sets_status:
            pytest.skip(f"{side.name} cannot suspend and resume")
        card = world.sell(100_00)
        for status in (CardStatus.SUSPENDED, CardStatus.ACTIVE):
            side.apply(
                Effect(
                    marker(), EffectKind.SET_STATUS, card, world.currency, status=status, expires_on=EXPIRY
                ),
                Saved(),
            )

        observation = seen(side, card)
        assert observation.status is CardStatus.ACTIVE
        assert observation.balance_minor == 100_00
        if side.capabilities.debits:
            side.apply(self.debit(world, card, 1_00), Saved())
            assert world.balance(card) == 99_00

    # Feeds.

    def test_a_card_sold_here_is_hinted_at(self, side: Side, world: World) -> None:
        if not side.feeds:
            pytest.skip(f"{side.name} has no feeds")
        card = world.sell(100_00)
        world.settle_late()

        hinted: set[str | None] = set()
        for feed in side.feeds:
            hints, _ = drain(side.hints(feed.name, None))
            assert {hint.feed for hint in hints} <= {feed.name}
            for hint in hints:
                hinted |= {hint.card.native_id, hint.card.serial.reveal() if hint.card.serial else None}

        assert {card.native_id, card.serial.reveal() if card.serial else None} & (hinted - {None})

    def test_a_feed_goes_on_from_its_cursor(self, side: Side, world: World) -> None:
        world.sell(100_00)
        cursors = {feed.name: drain(side.hints(feed.name, None))[1] for feed in side.feeds}
        card = world.sell(50_00)
        world.settle_late()

        hinted: set[str | None] = set()
        for name, cursor in cursors.items():
            hints, _ = drain(side.hints(name, cursor))
            for hint in hints:
                hinted |= {hint.card.native_id, hint.card.serial.reveal() if hint.card.serial else None}

        if side.feeds:
            assert {card.native_id, card.serial.reveal() if card.serial else None} & (hinted - {None})

    # Secrets and bookkeeping.

    def test_no_serial_is_in_any_error_or_answer(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.CREATE)
        serial = world.new_serial()
        effect = self.create(world, serial, 250_00)
        printed: list[str] = []

        def keep(call: Callable[[], object]) -> None:
            try:
                printed.append(repr(call()))
            except SideError as error:
                printed.append(texts_of(error))

        for kind in (Mishap.DROP_REQUEST, Mishap.THROTTLE):
            world.fail_next(kind)
            keep(lambda: side.apply(effect, Saved()))
        keep(lambda: side.apply(effect, Saved()))
        world.settle_late()
        keep(lambda: side.apply(self.create(world, serial, 1_00), Saved()))
        keep(lambda: side.lookup(serial))
        keep(lambda: side.find(effect))
        keep(lambda: side.apply(self.debit(world, CardRef(serial=serial), 999_00), Saved()))
        keep(lambda: world.unreachable().lookup(serial))
        keep(lambda: side)

        assert serial.reveal() not in " ".join(printed).lower()

    def test_usage_counts_what_was_asked(self, side: Side, world: World) -> None:
        card = world.sell(10_00)
        before = side.usage().calls

        seen(side, card)

        assert side.usage().calls > before
