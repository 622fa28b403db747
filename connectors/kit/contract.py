"""What every side promises, as tests. Shipped, so that whoever writes a connector can run them.

One line makes the tests of a connector:

    TestKassa = contract_for(KassaWorld)

`KassaWorld()` is a `World` (`connectors/kit/world.py`) with the connector under test as `side`, or a context
manager that gives one. Where a world needs other fixtures, inherit `SideContract` and give it the fixtures
`world` and `side`.

Have pytest explain the suite's plain asserts with this in `conftest.py`:

    pytest.register_assert_rewrite("connectors.kit.contract", "connectors.kit.world")
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from connectors.api.card import Absent, CardRef, Seen, Unreadable
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, NoAnswer, NotSent, Refusal, Refused, SideError, Throttled
from connectors.api.side import Side
from connectors.api.webhooks import DeliveryAnswer, InvalidSignature
from connectors.kit.world import (
    EXPIRY,
    MISHAPS,
    Mishap,
    OwnWorld,
    Saved,
    World,
    drain,
    found,
    hinted,
    marker,
    names_of,
    observe,
    optional,
    seen,
    texts_of,
    told_of,
)
from mappings.lifecycle import CardStatus
from mappings.serials import Serial


class SideContract:
    """What every connector is held to; `side` and `world` come from the subclass."""

    # What the helpers share.

    def move(self, world: World, kind: EffectKind, card: CardRef, amount_minor: int) -> Effect:
        return Effect(marker(), kind, card, world.currency, amount_minor)

    def credit(self, world: World, card: CardRef, amount_minor: int) -> Effect:
        return self.move(world, EffectKind.CREDIT, card, amount_minor)

    def debit(self, world: World, card: CardRef, amount_minor: int) -> Effect:
        return self.move(world, EffectKind.DEBIT, card, amount_minor)

    def kind_of_move(self, side: Side) -> EffectKind:
        """A way of moving money that the side has; skips where it has none."""
        if not side.capabilities.credits:
            self.need(side, EffectKind.DEBIT)
            return EffectKind.DEBIT
        return EffectKind.CREDIT

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
        kind = self.kind_of_move(side)

        with pytest.raises(Refused) as caught:
            side.apply(self.move(world, kind, world.unknown_card(), 1_00), Saved())

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
        kind = self.kind_of_move(side)
        moved_to = 130_00 if kind is EffectKind.CREDIT else 70_00
        card = world.sell(100_00)
        effect, saved = self.move(world, kind, card, 30_00), Saved()
        world.fail_next(Mishap.LATE_APPLY)

        with pytest.raises(InDoubt):
            side.apply(effect, saved)
        world.settle_late()

        result = found(side, effect, saved)
        assert isinstance(result, Found)
        assert result.landings == 1
        assert world.balance(card) == moved_to

    def test_a_broken_side_is_in_doubt_and_find_knows_the_truth(self, side: Side, world: World) -> None:
        kind = self.kind_of_move(side)
        moved_to = 130_00 if kind is EffectKind.CREDIT else 70_00
        card = world.sell(100_00)
        effect, saved = self.move(world, kind, card, 30_00), Saved()
        world.fail_next(Mishap.SERVER_ERROR)

        with pytest.raises(InDoubt):
            side.apply(effect, saved)

        moved = isinstance(found(side, effect, saved), Found)
        assert world.balance(card) == (moved_to if moved else 100_00)

    def test_a_throttled_move_surely_did_not_happen(self, side: Side, world: World) -> None:
        kind = self.kind_of_move(side)
        card = world.sell(100_00)
        effect, saved = self.move(world, kind, card, 30_00), Saved()
        world.fail_next(Mishap.THROTTLE)

        with pytest.raises(Throttled) as caught:
            side.apply(effect, saved)

        assert 0 <= caught.value.wait_seconds <= 300
        assert world.balance(card) == 100_00
        assert found(side, effect, saved) == NotFound()

    def test_without_a_connection_nothing_was_sent(self, world: World) -> None:
        card, unreachable = world.sell(100_00), world.unreachable()
        effect = self.move(world, self.kind_of_move(unreachable), card, 30_00)

        with pytest.raises(NotSent):
            unreachable.apply(effect, Saved())
        with pytest.raises(NotSent):
            list(unreachable.observe([card]))

        assert world.balance(card) == 100_00
        unreachable.close()

    def test_money_is_conserved_through_any_mishaps(self, side: Side, world: World) -> None:
        """A small worker: what is in doubt is looked for, and sent again only when it is surely not there."""
        kinds = [self.kind_of_move(side)]
        if side.capabilities.credits and side.capabilities.debits:
            kinds.append(EffectKind.DEBIT)
        dice = random.Random(7)
        card, expected = world.sell(1_000_00), 1_000_00
        for _ in range(24):
            kind = dice.choice(kinds)
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
        before = world.balance(effect.card)
        try:
            side.apply(replace(effect, progress=saved.progress), saved)
        except Throttled:
            return False
        except InDoubt:
            world.settle_late()
            result = found(side, effect, saved)
            if isinstance(result, CannotTell) and getattr(world, "asks_people", False):
                return world.balance(effect.card) != before
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

        assigned = side.capabilities.assigns_numbers
        assert applied.balance_minor in {None, 250_00}
        assert (applied.serial is not None) == assigned
        number = applied.serial or serial
        observation = side.lookup(number)
        assert isinstance(observation, Seen)
        assert observation.native_id == applied.native_id
        assert observation.balance_minor == 250_00
        assert observation.last_chars == number.last_chars
        result = found(side, effect, saved)
        if assigned and isinstance(result, CannotTell):
            # Nothing tells which card was made; a marker of another one would be worse.
            assert observation.created_by is None
            return
        marks = getattr(world, "marks_cards", True)
        assert observation.created_by == (effect.marker if marks else None)
        assert isinstance(result, Found)
        assert (result.landings, result.native_id) == (1, applied.native_id)
        assert result.serial in ({number} if assigned else {None})

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
        if side.capabilities.assigns_numbers:
            pytest.skip(f"{side.name} gives each card a number of its own")
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
        if side.capabilities.assigns_numbers and isinstance(found(side, effect, saved), CannotTell):
            return  # It is for a person: the worker never sends it again by itself.

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

    def test_a_payment_here_shows_in_a_feed_that_tells_of_changes(self, side: Side, world: World) -> None:
        """A side that only tells of sales says so with `tells_changes=False`, and is looked at otherwise."""
        telling = [feed.name for feed in side.feeds if feed.tells_changes]
        if not telling:
            pytest.skip(f"{side.name} has no feed that tells of changes")
        card = world.sell(100_00)
        world.settle_late()
        cursors = {name: drain(side.hints(name, None))[1] for name in telling}

        world.spend(card, 30_00)
        world.settle_late()

        assert names_of(card) & hinted(told_of(side, cursors))

    def test_a_cursor_can_be_read_from_again(self, side: Side, world: World) -> None:
        """A worker that dies before it has stored a page reads it again from the cursor that it had."""
        if not side.feeds:
            pytest.skip(f"{side.name} has no feeds")
        world.sell(100_00)
        cursors = {feed.name: drain(side.hints(feed.name, None))[1] for feed in side.feeds}
        card = world.sell(50_00)
        world.settle_late()

        first = hinted(told_of(side, cursors))
        again = hinted(told_of(side, cursors))

        assert names_of(card) & first
        assert first <= again
        assert all(cursor is None or isinstance(cursor, str) for cursor in cursors.values())

    def test_an_unknown_feed_is_an_error_of_the_caller(self, side: Side) -> None:
        with pytest.raises((ValueError, KeyError)):
            list(side.hints("no-such-feed", None))

    # The second book.

    def test_entries_are_whole_and_the_oldest_come_first(self, side: Side, world: World) -> None:
        if not side.capabilities.lists_entries:
            pytest.skip(f"{side.name} lists no entries")
        card = world.sell(100_00)
        before = seen(side, card, entries=True).entries
        assert before is not None

        world.spend(card, 10_00)
        world.load(card, 3_00)
        world.spend(card, 1_50)

        after = seen(side, card, entries=True)
        assert after.entries is not None
        assert after.entries[: len(before)] == before
        new = after.entries[len(before) :]
        listed = [-10_00, 3_00, -1_50] if getattr(world, "lists_payments", True) else [3_00]
        assert [entry.amount_minor for entry in new] == listed
        assert [entry.marker for entry in new] == [None] * len(listed)
        assert len({entry.native_id for entry in after.entries}) == len(after.entries)
        times = [entry.at for entry in after.entries if entry.at is not None]
        assert times == sorted(times)
        assert all(at.tzinfo is not None for at in times)

    # Statuses that nobody has heard of.

    def test_an_unknown_status_is_shown_and_not_guessed(self, side: Side, world: World) -> None:
        card = world.sell(100_00)
        optional(world, "odd_status")(card)

        observation = seen(side, card)

        assert observation.status is None
        assert observation.status_text
        assert observation.balance_minor == 100_00

    # One marker, one effect.

    def test_a_side_that_applies_a_marker_once_does_so(self, side: Side, world: World) -> None:
        if not side.capabilities.applies_marker_once:
            pytest.skip(f"{side.name} promises nothing of a marker that comes again")
        self.need(side, EffectKind.DEBIT)
        card = world.sell(100_00)
        effect, saved = self.debit(world, card, 30_00), Saved()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: side.apply(effect, saved), range(4)))

        assert world.balance(card) == 70_00
        result = found(side, effect, saved)
        assert isinstance(result, Found)
        assert result.landings == 1

    # Threads.

    def test_many_threads_move_money_exactly(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.DEBIT)
        cards = [world.sell(100_00) for _ in range(4)]

        def pay(number: int) -> Applied:
            card = cards[number % len(cards)]
            return side.apply(self.debit(world, card, 1_00), Saved())

        with ThreadPoolExecutor(8) as pool:
            work: list[Future[Any]] = [pool.submit(pay, number) for number in range(16)]
            work += [pool.submit(observe, side, card) for card in cards for _ in range(2)]
            failed = [one.exception() for one in work if one.exception() is not None]

        # A card that two threads want at once may be refused as busy; what was applied has moved exactly.
        assert all(isinstance(error, Throttled | InDoubt) for error in failed), failed
        if not failed:
            assert [world.balance(card) for card in cards] == [96_00] * 4

    # Reads that go wrong.

    @pytest.mark.parametrize("kind", [Mishap.DROP_RESPONSE, Mishap.SERVER_ERROR, Mishap.THROTTLE])
    def test_a_read_that_goes_wrong_is_repeated_or_told_and_never_a_balance(
        self, side: Side, world: World, kind: Mishap
    ) -> None:
        card = world.sell(100_00)
        optional(world, "fail_read")(kind)

        try:
            observation = observe(side, card)
        except NoAnswer:
            return
        if isinstance(observation, Seen):
            assert observation.balance_minor == 100_00
        else:
            assert isinstance(observation, Unreadable)

    def test_a_host_that_takes_no_connection_has_surely_got_nothing(self, side: Side, world: World) -> None:
        away = world.unreachable()

        with pytest.raises(NotSent):
            away.identify()
        with pytest.raises(NotSent):
            away.lookup(world.new_serial())
        with pytest.raises(NotSent):
            away.apply(self.move(world, self.kind_of_move(away), world.sell(1_00), 1_00), Saved())

    # Webhooks.

    def test_a_delivery_that_nobody_signed_is_refused(self, side: Side) -> None:
        listener = side.abilities.listener
        if listener is None:
            pytest.skip(f"{side.name} delivers no webhooks")
        for headers, body in (({}, b""), ({}, b"{}"), ({"authorization": "Bearer guessed"}, b'{"id": 1}')):
            with pytest.raises(InvalidSignature):
                listener.read_delivery(headers, body)

    def test_a_genuine_delivery_leads_to_its_card(self, side: Side, world: World) -> None:
        listener = side.abilities.listener
        if listener is None:
            pytest.skip(f"{side.name} delivers no webhooks")
        card = world.sell(100_00)
        headers, body = optional(world, "delivery")(card)

        delivery, again = listener.read_delivery(headers, body), listener.read_delivery(headers, body)

        assert delivery is not None
        assert again is not None
        assert delivery.key == again.key
        with pytest.raises(InvalidSignature):
            listener.read_delivery({}, body)
        if optional(world, "signs_bodies"):
            with pytest.raises(InvalidSignature):
                listener.read_delivery(headers, body + b" ")
        if delivery.card is not None:
            assert names_of(delivery.card) & names_of(card)
            return
        (answer,) = listener.resolve([delivery])
        assert isinstance(answer, DeliveryAnswer)
        assert names_of(card) & hinted(answer.hints) or answer.feeds

    # Telling buyers.

    def test_a_buyer_is_told_once(self, side: Side, world: World) -> None:
        self.need(side, EffectKind.NOTIFY)
        buyer, messages = optional(world, "buyer"), optional(world, "messages")
        card = world.sell(100_00)
        before = messages()
        effect, saved = Effect(marker(), EffectKind.NOTIFY, card, world.currency, contact=buyer), Saved()

        side.apply(effect, saved)

        assert messages() == before + 1
        assert isinstance(found(side, effect, saved), Found | CannotTell)
        assert messages() == before + 1

    # Many at once.

    def test_a_list_of_all_cards_has_each_once(self, side: Side, world: World) -> None:
        lister = side.abilities.lister
        if lister is None:
            pytest.skip(f"{side.name} does not list its cards")
        optional(world, "lists_now")
        sold = {
            card.native_id: amount for card, amount in ((world.sell(a), a) for a in (10_00, 20_00, 30_00))
        }
        world.settle_late()

        listed = [one for one in lister.list_cards(lambda count: None) if one.seen.native_id in sold]

        assert {one.seen.native_id: one.seen.balance_minor for one in listed} == sold
        assert len(listed) == len(sold)
        if side.capabilities.hides_serials:
            assert all(one.seen.serial is None for one in listed)

    def test_a_pack_of_creates_has_an_outcome_for_each_in_order(self, side: Side, world: World) -> None:
        packer = side.abilities.pack_creator
        if packer is None:
            pytest.skip(f"{side.name} makes no cards in packs")
        first, second = world.new_serial(), world.new_serial()
        effects = [self.create(world, first, 10_00), self.create(world, second, 20_00)]
        effects.append(self.create(world, first, 30_00))

        made = packer.create_pack(effects)

        assert [type(one) for one in made[:2]] == [Applied, Applied]
        assert isinstance(made[2], SideError)
        assert packer.pack_size(4) >= 1
        for outcome, amount in zip(made[:2], (10_00, 20_00), strict=True):
            assert isinstance(outcome, Applied)
            assert world.balance(CardRef(outcome.native_id, None)) == amount

    # What it says of itself.

    def test_capabilities_and_words_make_sense(self, side: Side) -> None:
        can = side.capabilities
        assert can.read_batch_max >= 1
        assert 1 <= can.serial_length_min <= can.serial_length_max
        assert CardStatus.INACTIVE not in can.sets_status
        assert len({feed.name for feed in side.feeds}) == len(side.feeds)
        assert all(feed.interval_seconds > 0 for feed in side.feeds)
        place = side.abilities.place
        assert place is None or (place.name and place.screen)
        assert side.abilities.reading().subscriber is None
        # Asked again, it says the same: the worker asks from many threads.
        assert side.capabilities == can


def contract_for(
    make_world: Callable[[], OwnWorld | AbstractContextManager[OwnWorld]],
) -> type[SideContract]:
    """The tests of a connector, as a class for pytest to find. Each test has a world of its own."""

    @pytest.fixture(name="world")
    def world(self: SideContract) -> Iterator[OwnWorld]:
        made = make_world()
        with made if isinstance(made, AbstractContextManager) else nullcontext(made) as one:
            yield one

    @pytest.fixture(name="side")
    def side(self: SideContract, world: OwnWorld) -> Iterator[Side]:
        yield world.side
        world.side.close()

    return type("TestContract", (SideContract,), {"world": world, "side": side})
