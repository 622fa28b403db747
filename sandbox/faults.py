"""Faults that an emulator injects into operations, chosen by a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class FaultKind(StrEnum):
    """What goes wrong with one operation."""

    #: The connection is closed and nothing happened.
    DROP_REQUEST = "drop_request"
    #: The operation happened; the connection is closed before the answer.
    DROP_RESPONSE = "drop_response"
    #: The connection is closed at once; the operation happens afterwards.
    LATE_APPLY = "late_apply"
    #: HTTP 500; whether the operation happened is a coin toss, as with a real 500.
    ERROR_500 = "error_500"
    #: The side's own way of saying "too fast"; nothing happened.
    THROTTLE = "throttle"
    #: The operation happens and is answered, late.
    DELAY = "delay"
    #: The side says no for a reason that it does not give; nothing happened.
    REFUSE = "refuse"
    #: The operation happens twice, as when a proxy sends a request again; the first answer is given.
    DOUBLE_APPLY = "double_apply"

    # The operation happened, and its answer is spoiled (sandbox/answers.py).

    #: One byte every `delay_ms`.
    DRIP = "drip"
    #: White space follows, up to `size` bytes.
    HUGE = "huge"
    #: The same, compressed: small on the wire, `size` bytes when it is unpacked.
    GZIP_BOMB = "gzip_bomb"
    #: Lists within lists, `size` deep.
    DEEP_JSON = "deep_json"
    #: Every number is NaN.
    NOT_A_NUMBER = "not_a_number"
    #: The right body under the wrong content type.
    WRONG_TYPE = "wrong_type"
    #: A sign-in page with status 200 instead, as from a captive portal.
    HTML = "html"
    #: Half of the body, then a reset.
    CUT_BODY = "cut_body"


SPOILS_ANSWER = frozenset(
    {
        FaultKind.DRIP,
        FaultKind.HUGE,
        FaultKind.GZIP_BOMB,
        FaultKind.DEEP_JSON,
        FaultKind.NOT_A_NUMBER,
        FaultKind.WRONG_TYPE,
        FaultKind.HTML,
        FaultKind.CUT_BODY,
    }
)
DELAY_MS_DEFAULT = 1_000
#: By kind: bytes of a huge answer, depth of nested lists.
SIZE_DEFAULT = {FaultKind.HUGE: 256 << 20, FaultKind.GZIP_BOMB: 256 << 20, FaultKind.DEEP_JSON: 100_000}
SIZE_MAX = {FaultKind.HUGE: 16 << 30, FaultKind.GZIP_BOMB: 16 << 30, FaultKind.DEEP_JSON: 10_000_000}


@dataclass(frozen=True)
class FaultRule:
    """Operations whose `kind name` contains `match` fail as `kind` with `probability`."""

    match: str
    kind: FaultKind
    probability: float
    #: How late, for `late_apply` and `delay`; how long for each byte, for `drip`.
    delay_ms: int = DELAY_MS_DEFAULT
    #: How big, for `huge`, `gzip_bomb` and `deep_json`.
    size: int = 0
    #: How often the rule may strike; None for any number of times.
    times: int | None = None


@dataclass(frozen=True)
class Fault:
    """One fault to inject now."""

    kind: FaultKind
    #: For `error_500`: whether the operation is carried out before the error is answered.
    applied: bool
    delay_ms: int
    size: int = 0


class FaultRuleError(ValueError):
    """A fault rule that cannot be understood; the message names the rule and the key."""


def parse_fault_rules(body: object) -> tuple[int, list[FaultRule]]:
    """Read `{"seed", "rules": [{"match", "kind", "probability", "delay_ms"?, "size"?, "times"?}]}`.

    Raises FaultRuleError for anything else.
    """
    if not isinstance(body, dict):
        raise FaultRuleError('the body must be an object: {"seed": 1, "rules": [...]}')
    seed = body.get("seed", 0)
    rules = body.get("rules")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise FaultRuleError("seed must be an integer")
    if not isinstance(rules, list):
        raise FaultRuleError("rules must be a list")
    return seed, [_parse_rule(position, rule) for position, rule in enumerate(rules)]


def _parse_rule(position: int, rule: object) -> FaultRule:
    where = f"rules[{position}]"
    if not isinstance(rule, dict):
        raise FaultRuleError(f"{where} must be an object")
    unknown = set(rule) - {"match", "kind", "probability", "delay_ms", "size", "times"}
    if unknown:
        raise FaultRuleError(f"{where} has unknown keys: {', '.join(sorted(map(str, unknown)))}")
    match, kind = rule.get("match", ""), rule.get("kind")
    probability, delay_ms = rule.get("probability", 1.0), rule.get("delay_ms", DELAY_MS_DEFAULT)
    if not isinstance(match, str):
        raise FaultRuleError(f"{where}.match must be a string")
    if kind not in set(FaultKind):
        raise FaultRuleError(f"{where}.kind must be one of {', '.join(FaultKind)}")
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise FaultRuleError(f"{where}.probability must be a number from 0 to 1")
    if isinstance(delay_ms, bool) or not isinstance(delay_ms, int) or delay_ms < 0:
        raise FaultRuleError(f"{where}.delay_ms must be a whole number of milliseconds")
    times = rule.get("times")
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise FaultRuleError(f"{where}.times must be a whole number from 1 on")
    size = _parse_size(where, rule, FaultKind(kind))
    return FaultRule(match, FaultKind(kind), float(probability), delay_ms, size, times)


def _parse_size(where: str, rule: dict[str, object], kind: FaultKind) -> int:
    if "size" not in rule:
        return SIZE_DEFAULT.get(kind, 0)
    size = rule["size"]
    if kind not in SIZE_MAX:
        raise FaultRuleError(f"{where}.size is for {', '.join(SIZE_MAX)}")
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= SIZE_MAX[kind]:
        raise FaultRuleError(f"{where}.size must be a whole number from 1 to {SIZE_MAX[kind]}")
    return size


@dataclass
class FaultPlan:
    """Draws the fault of each operation; the same seed and operations give the same faults."""

    seed: int = 0
    rules: Sequence[FaultRule] = ()
    _random: random.Random = field(init=False, repr=False)
    #: How often each rule has struck.
    _struck: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._struck = [0] * len(self.rules)

    def draw(self, operation: str) -> Fault | None:
        """The fault for the operation named `operation` ("mutation giftCardCredit"), or None.

        The first rule that matches and wins its draw is taken; every matching rule draws once, so that adding
        a rule at the end does not change what the earlier ones do.
        """
        chosen: Fault | None = None
        for position, rule in enumerate(self.rules):
            if rule.match.lower() not in operation.lower():
                continue
            hit = self._random.random() < rule.probability
            applied = self._random.random() < 0.5
            if rule.times is not None and self._struck[position] >= rule.times:
                continue
            if hit and chosen is None:
                self._struck[position] += 1
                chosen = Fault(rule.kind, applied, rule.delay_ms, rule.size)
        return chosen
