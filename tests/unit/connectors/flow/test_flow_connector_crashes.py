"""A Flow movement takes several calls and saves: dying or losing an answer at any of them doubles nothing.

The emulated tenant is asked without a socket. Every request and every save is a step; at one step, or at two,
a mishap strikes. Then the effect is taken up again as the worker does it: in doubt is looked for, what is
surely not there is applied again with what was saved.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from connectors.api.card import CardRef
from connectors.api.effect import CannotTell, Effect, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, NotSent, Refused, Throttled
from connectors.flow import FlowSettings, FlowSide
from mappings.serials import Serial
from sandbox.flow import FlowBehaviour, FlowEmulator
from tests.flow_wire import OF_COMMITS, STEPS_MAX, Bridge, Mishap, Script
from tests.support import Crashed, Time

TOKEN = "flow-crash-token"
ATTEMPTS_MAX = 6
NUMBER = "5000000000000001"
BALANCE, AMOUNT = 100_00, 30_00


@dataclass
class Worker:
    """Applies one effect to the end, as the worker does across crashes."""

    bridge: Bridge
    side: FlowSide
    effect: Effect
    wait: Callable[[float], None]
    progress: dict[str, str] = field(default_factory=dict)
    #: Whether it sends again what is not there yet, before the quiet period is over.
    asks_again: bool = False
    #: Whether it dies of a power cut, which takes what was saved lazily since the last other save.
    loses_power: bool = False
    lasting: dict[str, str] = field(default_factory=dict)

    def save(self, progress: Mapping[str, str], /, *, lazily: bool = False) -> None:
        mishap = self.bridge.script.next(f"save {', '.join(progress)}", OF_COMMITS)
        if mishap is Mishap.DIE_BEFORE:
            raise Crashed
        self.progress |= progress
        if not lazily:
            self.lasting = dict(self.progress)
        if mishap is Mishap.DIE_AFTER:
            raise Crashed

    def run(self) -> str:
        """The way it ended: applied, found, refused or in doubt."""
        for _ in range(ATTEMPTS_MAX):
            effect = replace(self.effect, progress=dict(self.progress))
            try:
                self.side.apply(effect, self.save)
                return "applied"
            except NotSent:
                continue
            except Throttled as error:
                self.wait(error.wait_seconds)
            except Refused:
                return "refused"
            except (InDoubt, Crashed) as error:
                if self.loses_power and isinstance(error, Crashed):
                    self.progress = dict(self.lasting)
                verdict = self.recover()
                if verdict is not None:
                    return verdict
        raise AssertionError("it never came to an end")

    def recover(self) -> str | None:
        """After the quiet period, or before it; None when the effect may be sent again."""
        if not self.asks_again:
            self.bridge.script.land()
        for _ in range(ATTEMPTS_MAX):
            try:
                result = self.side.find(replace(self.effect, progress=dict(self.progress)))
            except (InDoubt, NotSent, Crashed):
                continue
            if isinstance(result, Found):
                assert result.landings == 1
                return "found"
            if isinstance(result, CannotTell):
                return "in doubt"
            assert result == NotFound()
            return None
        raise AssertionError("it can never be found")


@dataclass
class Stage:
    """One emulated tenant, with fresh cards for each run."""

    emulator: FlowEmulator
    bridge: Bridge
    time: Time
    sides: dict[str, FlowSide] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(int(NUMBER)))
    markers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def side(self, **changes: Any) -> FlowSide:
        """The connector, with what it discovers once already discovered: that is no step of a movement."""
        self.bridge.script = Script({})
        settings = FlowSettings(
            tenant="7",
            store="70",
            token=TOKEN,
            timezone="Europe/Oslo",
            currency="NOK",
            base_url="https://flow.invalid/v2",
            debit_product_uid="900",
            gift_card_product_uids={"giftcard": "901"},
            item_number_field="externalId",
            gift_card_payment_method_uid="spm-70-2",
            external_payment_method_uid="spm-70-3",
            **{
                "api_settlement_debits": True,
                "api_issue_allowed": True,
                "caller_may_choose_number": True,
                **changes,
            },
        )
        side = FlowSide(settings, clock=self.time.clock, pause=self.time.pause, monotonic=self.time.monotonic)
        side._client._http._session.mount("https://", self.bridge)
        side.identify()
        return side

    def card(self, amount_minor: int) -> Serial:
        body: dict[str, object] = {"amount": f"{amount_minor / 100:.2f}"}
        sold = self.bridge.loop.run_until_complete(self.emulator.control()["sell"](body))
        return Serial(str(sold["number"]))

    def truth(self, serial: Serial) -> dict[str, Any] | None:
        book = self.emulator.world.cards
        card = book.find(serial.reveal())
        if card is None:
            return None
        return {
            "balance": card.balance,
            "landings": [(one.amount, one.reference) for one in card.movements],
        }

    def effect(self, kind: EffectKind) -> Effect:
        serial = Serial(str(next(self.numbers))) if kind is EffectKind.CREATE else self.card(BALANCE)
        marker = f"gs-crash{next(self.markers)}"
        return Effect(marker, kind, CardRef(serial=serial), "NOK", AMOUNT, note="words", brand="giftcard")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    loop, time = asyncio.new_event_loop(), Time()
    # The stricter reading: an order whose uid was never learnt keeps its number.
    behaviour = FlowBehaviour(external_order_number_unique=True)
    emulator = FlowEmulator(token=TOKEN, clock=time.clock, behaviour=behaviour)
    stage = Stage(emulator, Bridge(emulator, loop), time)
    yield stage
    for side in stage.sides.values():
        side.close()
    loop.close()


KINDS = {
    "debit": (EffectKind.DEBIT, -AMOUNT, {}),
    "load": (EffectKind.CREDIT, AMOUNT, {}),
    "refund": (EffectKind.CREDIT, AMOUNT, {"api_issue_allowed": False, "refund_settlement_credits": True}),
    "create": (EffectKind.CREATE, AMOUNT, {}),
}


def play(stage: Stage, name: str, mishaps: Mapping[int, Mishap], *, loses_power: bool = False) -> Script:
    """Run one effect through the mishaps and check that the money moved exactly once."""
    kind, moved_minor, changes = KINDS[name]
    if name not in stage.sides:
        stage.sides[name] = stage.side(**changes)
    side, effect = stage.sides[name], stage.effect(kind)
    script = stage.bridge.script = Script(mishaps)

    def wait(seconds: float) -> None:
        stage.time.pause(seconds)
        script.land()

    ended = Worker(stage.bridge, side, effect, wait, loses_power=loses_power).run()

    script.land()
    story = f"{name}: {'; then '.join(script.struck)}: {ended}"
    assert effect.card.serial is not None
    card = stage.truth(effect.card.serial)
    assert card is not None, story
    landings = [amount for amount, reference in card["landings"] if reference == effect.marker]
    before_minor = 0 if kind is EffectKind.CREATE else BALANCE
    assert ended in ("applied", "found"), story
    assert landings == [moved_minor], story
    assert card["balance"] == before_minor + moved_minor, story
    return script


def test_the_steps_of_a_debit(stage: Stage) -> None:
    script = play(stage, "debit", {})

    assert script.steps == [
        "GET giftcards",
        "POST orders",
        "save order_uid, way, item",
        "POST items",
        "save settlement, before_x100",
        "POST settlements",
        "GET giftcards",
    ]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("mishap", Mishap)
def test_one_mishap_at_every_step(stage: Stage, name: str, mishap: Mishap) -> None:
    struck = 0
    for step in range(1, STEPS_MAX):
        script = play(stage, name, {step: mishap})
        if script.step < step:
            break
        struck += bool(script.struck)
    else:
        raise AssertionError("there is no last step")

    assert struck >= (5 if mishap in OF_COMMITS else 4)


@pytest.mark.parametrize(
    "name",
    [
        "debit",
        "create",
        pytest.param("load", marks=pytest.mark.slow),
        pytest.param("refund", marks=pytest.mark.slow),
    ],
)
def test_two_mishaps_at_any_two_steps(stage: Stage, name: str) -> None:
    """The second one strikes while the first is being recovered from."""
    # Dying before a step is dying after the one before it.
    hard = (Mishap.DIE_AFTER, Mishap.LOSE_ANSWER, Mishap.LATE, Mishap.GARBLE)
    played = 0
    for first, second in itertools.product(hard, hard):
        for step in range(1, STEPS_MAX):
            script = play(stage, name, {step: first})
            if script.step < step:
                break
            if not script.struck:
                continue
            for later in range(step + 1, script.step + 1, 1):
                play(stage, name, {step: first, later: second})
                played += 1
    assert played > 300


@pytest.mark.parametrize("name", ["debit", "create"])
def test_a_power_cut_at_any_step_and_then_another_mishap(stage: Stage, name: str) -> None:
    """The order's uid is saved lazily; it is gone unless the settlement was saved after it."""
    cut = Mishap.DIE_AFTER
    for step in range(1, STEPS_MAX):
        script = play(stage, name, {step: cut}, loses_power=True)
        if script.step < step:
            break
        for second in (cut, Mishap.LOSE_ANSWER, Mishap.LATE):
            for later in range(step + 1, script.step + 1):
                play(stage, name, {step: cut, later: second}, loses_power=True)
    assert step > 5


# Requests that overtake each other.


@pytest.mark.parametrize("name", KINDS)
def test_a_request_that_lands_in_the_middle_of_the_next_attempt(stage: Stage, name: str) -> None:
    """There is no quiet period before the money step, so an order or item may land at any later step.

    It does so on an order that was left for another one, so the effect goes on and moves the money once.
    """
    kind, moved_minor, changes = KINDS[name]
    endings = set()
    for late_step, steps_later in itertools.product((2, 4), range(1, 14)):
        side, effect = stage.side(**changes), stage.effect(kind)
        script = stage.bridge.script = LateScript({late_step: Mishap.LATE}, lands_after=steps_later)

        worker = Worker(stage.bridge, side, effect, stage.time.pause)
        ended = worker.run()

        script.land()
        assert effect.card.serial is not None
        card = stage.truth(effect.card.serial)
        moved = [] if card is None else [one for one, by in card["landings"] if by == effect.marker]
        endings.add(ended)
        assert moved == [moved_minor]
        side.close()
    assert endings <= {"applied", "found"}


@pytest.mark.parametrize("name", KINDS)
def test_a_settlement_that_lands_in_the_middle_of_the_next_attempt(stage: Stage, name: str) -> None:
    """An order is settled once: whichever request comes second is refused, and the money moves once."""
    kind, moved_minor, changes = KINDS[name]
    money_step = play(stage, name, {}).steps.index("POST settlements") + 1
    for steps_later in range(1, 14):
        side, effect = stage.side(**changes), stage.effect(kind)
        script = stage.bridge.script = LateScript({money_step: Mishap.LATE}, lands_after=steps_later)

        ended = Worker(stage.bridge, side, effect, stage.time.pause, asks_again=True).run()

        script.land()
        assert effect.card.serial is not None
        card = stage.truth(effect.card.serial)
        assert card is not None
        assert [one for one, by in card["landings"] if by == effect.marker] == [moved_minor]
        assert ended in ("applied", "found")
        side.close()


@dataclass
class LateScript(Script):
    """A late request lands by itself, so many steps later."""

    lands_after: int = 1

    def next(self, name: str, possible: tuple[Mishap, ...] = tuple(Mishap)) -> Mishap | None:
        if self.late and self.step >= min(self.mishaps) + self.lands_after:
            self.land()
        return super().next(name, possible)
