"""What is signed to come in: a random number of ours, once, in time, for one purpose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.support.passkeys import CHALLENGE_VALID, Challenges, domain_of
from sync.support.people import Refused

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_given_a_challenge_then_it_works_once_and_for_its_purpose_only() -> None:
    challenges = Challenges(Clock())
    made = challenges.make("sign in")

    with pytest.raises(Refused):
        challenges.use("add a passkey of 1", made)
    challenges.use("sign in", made)
    with pytest.raises(Refused):
        challenges.use("sign in", made)


@pytest.mark.parametrize("spoil", [lambda c: b"", lambda c: c[:-1], lambda c: bytes([c[0] ^ 1]) + c[1:]])
def test_given_a_challenge_that_was_not_made_here_then_it_is_refused(spoil: object) -> None:
    challenges = Challenges(Clock())

    with pytest.raises(Refused):
        challenges.use("sign in", spoil(challenges.make("sign in")))  # type: ignore[operator]
    with pytest.raises(Refused):
        challenges.use("sign in", Challenges(Clock()).make("sign in"))


def test_given_a_page_that_was_open_for_too_long_then_its_challenge_is_refused() -> None:
    clock = Clock()
    challenges = Challenges(clock)
    made = challenges.make("sign in")
    clock.now = NOON + CHALLENGE_VALID + timedelta(seconds=1)

    with pytest.raises(Refused):
        challenges.use("sign in", made)


@pytest.mark.parametrize(
    ("origin", "domain"),
    [
        ("https://giftsync.example.com", "giftsync.example.com"),
        ("http://localhost:8600", "localhost"),
        ("http://giftsync.example.com", None),
        ("https://192.0.2.1", None),
        ("http://127.0.0.1:8600", None),
        ("https://[::1]", None),
        ("https://", None),
    ],
)
def test_given_an_address_then_keys_are_bound_to_its_domain_if_browsers_take_it(
    origin: str, domain: str | None
) -> None:
    assert domain_of(origin) == domain
