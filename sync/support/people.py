"""Sign-in to the console: passwords, one-time links, sessions, roles, and a bound on guesses."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mappings.sentences import say
from sync.ledger.database.engine import Engine
from sync.ledger.secrets.vault import Vault
from sync.ledger.support.people import (
    Invitation,
    LastMerchant,
    NameTaken,
    NewBrowser,
    PeopleBook,
    Person,
    Session,
)

#: A session ends after so long without use, and after so long in any case.
IDLE = timedelta(hours=12)
SESSION_MAX = timedelta(days=7)
LINK_VALID = timedelta(hours=24)
PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 256
NAME_LENGTH_MAX = 80
#: Wrong passwords in a window: for one name, and from one address.
TRIES_PER_NAME = 8
TRIES_PER_ADDRESS = 40
TRIES_SECONDS = 900.0
#: Windows that are kept; the oldest go first.
WINDOWS_MAX = 10_000
#: Each check takes 64 MB.
CHECKS_AT_ONCE = 2
#: Who invites the first person.
TERMINAL = "the terminal"


class Role(StrEnum):
    """What somebody may do. Each role may do what the one before may."""

    READ_ONLY = "read_only"
    SUPPORT = "support"
    MERCHANT = "merchant"

    def covers(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


def role_words(role: str) -> str:
    """A role that each reader calls by their own word."""
    words = {Role.READ_ONLY: say("read only"), Role.SUPPORT: say("support"), Role.MERCHANT: say("merchant")}
    return words[Role(role)]


class Refused(Exception):
    """It is not done; the message says why, in words for the person."""


class TooManyTries(Exception):
    """Too many wrong passwords; nothing is checked for a while."""


@dataclass
class Tries:
    """Counts what went wrong in a sliding window. Thread-safe."""

    per_window: int
    monotonic: Callable[[], float] = time.monotonic
    _windows: dict[str, deque[float]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def check(self, key: str) -> None:
        """Raises TooManyTries."""
        with self._lock:
            if len(self._current(key)) >= self.per_window:
                raise TooManyTries

    def failed(self, key: str) -> None:
        with self._lock:
            self._current(key).append(self.monotonic())

    def forget(self, key: str) -> None:
        with self._lock:
            self._windows.pop(key, None)

    def _current(self, key: str) -> deque[float]:
        window = self._windows.get(key)
        if window is None:
            while len(self._windows) >= WINDOWS_MAX:
                self._windows.pop(next(iter(self._windows)))
            window = self._windows[key] = deque()
        since = self.monotonic() - TRIES_SECONDS
        while window and window[0] < since:
            window.popleft()
        return window


@dataclass(frozen=True)
class People:
    """Lets people in, on one ledger."""

    engine: Engine
    vault: Vault
    clock: Callable[[], datetime]
    hasher: PasswordHasher = field(default_factory=PasswordHasher)
    monotonic: Callable[[], float] = time.monotonic
    _checks: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(CHECKS_AT_ONCE), init=False
    )

    @cached_property
    def book(self) -> PeopleBook:
        return PeopleBook(self.engine, self.vault)

    @cached_property
    def _by_name(self) -> Tries:
        return Tries(TRIES_PER_NAME, self.monotonic)

    @cached_property
    def _by_address(self) -> Tries:
        return Tries(TRIES_PER_ADDRESS, self.monotonic)

    @cached_property
    def _nobodys_hash(self) -> str:
        """Checked for a name that nobody has, so that it takes as long."""
        return self.hasher.hash(secrets.token_hex(16))

    # --- coming in ------------------------------------------------------------------------------------------

    def first_link(self) -> str | None:
        """The token of a one-time link for the first person, who is the owner; None when there are people."""
        if not self.book.is_empty():
            return None
        self.book.withdraw_invitations(TERMINAL)
        return self.invite(Role.MERCHANT, TERMINAL)

    def invite(self, role: Role, by: str, person: Person | None = None) -> str:
        """The token of a one-time link: for somebody new, or for a person who lost their password."""
        token, now = secrets.token_urlsafe(32), self.clock()
        self.book.invite(
            hashed(token), role.value, by, now, now + LINK_VALID, None if person is None else person.id
        )
        whom = say("somebody new") if person is None else person.name
        about = say("{whom} ({role})", whom=whom, role=role_words(role))
        self.book.record(by, say("invited"), about, now)
        return token

    def invitation(self, token: str) -> Invitation | None:
        return self.book.invitation(hashed(token), self.clock())

    def join(self, token: str, name: str, password: str, again: str) -> str:
        """Use a one-time link; gives the token of a session. Raises Refused."""
        invited = self.invitation(token)
        if invited is None:
            raise Refused("This link was used already, or is too old. Ask for a new one.")
        name = " ".join(name.split()) if invited.person is None else invited.person.name
        if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
            raise Refused(say("Give a name of 1 to {most} characters.", most=NAME_LENGTH_MAX))
        check_password(name, password, again)
        with self._checks:
            password_hash = self.hasher.hash(password)
        now = self.clock()
        try:
            person = self.book.accept(hashed(token), name, password_hash, now)
        except NameTaken:
            raise Refused("Somebody has this name already; take another one.") from None
        if person is None:
            raise Refused("This link was used already, or is too old. Ask for a new one.")
        self._by_name.forget(person.name.casefold())
        self.book.record(person.name, say("joined"), role_words(person.role), now)
        return self._begin(person, now)

    def sign_in(self, name: str, password: str, address: str) -> str:
        """The token of a new session. Raises Refused or TooManyTries."""
        key = " ".join(name.split()).casefold()[:NAME_LENGTH_MAX]
        self._by_address.check(address)
        self._by_name.check(key)
        person = self.book.by_name(key)
        known = person is not None and person.password_hash is not None
        against = person.password_hash if person is not None and person.password_hash else self._nobodys_hash
        with self._checks:
            right = self._verify(against, password[:PASSWORD_LENGTH_MAX])
        if person is None or not known or not right:
            self._by_address.failed(address)
            self._by_name.failed(key)
            raise Refused("Name or password is wrong.")
        self._by_name.forget(key)
        _check_person(person)
        now = self.clock()
        if self.hasher.check_needs_rehash(against):
            self.book.set_password_hash(person.id, self.hasher.hash(password))
        self.book.record(person.name, say("signed in"), "", now)
        return self._begin(person, now)

    def confirm(self, person: Person, password: str, address: str) -> None:
        """Check that it is the person, before something that lets them in by another way.

        Raises Refused or TooManyTries.
        """
        key = person.name.casefold()
        self.check_tries(address)
        self._by_name.check(key)
        with self._checks:
            right = person.password_hash is not None and self._verify(
                person.password_hash, password[:PASSWORD_LENGTH_MAX]
            )
        if not right:
            self.failed_from(address)
            self._by_name.failed(key)
            raise Refused("Name or password is wrong.")
        self._by_name.forget(key)

    def check_tries(self, address: str) -> None:
        """Raises TooManyTries."""
        self._by_address.check(address)

    def failed_from(self, address: str) -> None:
        """Somebody there was not let in."""
        self._by_address.failed(address)

    def let_in(self, person: Person, action: str) -> str:
        """The token of a session of somebody who has proved who they are. Raises Refused."""
        _check_person(person)
        now = self.clock()
        self.book.record(person.name, action, "", now)
        return self._begin(person, now)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self.hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _begin(self, person: Person, now: datetime) -> str:
        token = secrets.token_urlsafe(32)
        self.book.begin_session(hashed(token), person.id, now, now + SESSION_MAX)
        return token

    # --- being in -------------------------------------------------------------------------------------------

    def who(self, token: str, device: str | None = None) -> Person | None:
        """Whose session it is, on which device if that is known."""
        return self.book.session(hashed(token), self.clock(), IDLE, device) if token else None

    def sessions_of(self, person: Person, token: str) -> Sequence[Session]:
        """Where the person is signed in; `token` is of the session that asks."""
        return self.book.sessions_of(person.id, hashed(token), self.clock(), IDLE)

    def end_others(self, person: Person, token: str, browser: str) -> None:
        """End every session of the person but this one."""
        self.book.end_other_sessions(person.id, hashed(token), hashed(browser))

    def meet_browser(self, person: Person, browser: str, device: str) -> None:
        """The person has signed in on a browser, which keeps a token; what they never used is recorded."""
        now = self.clock()
        if self.book.meet_browser(person.id, hashed(browser), device, now):
            self.book.record(person.name, say("signed in on a new browser"), device, now)

    def new_browsers(self, person: Person, browser: str) -> Sequence[NewBrowser]:
        """Where somebody signed in as the person for the first time, except on the browser that asks."""
        return self.book.new_browsers(person.id, hashed(browser))

    def know_browsers(self, person: Person, browser: str) -> None:
        """They are the person's own. One cannot say that of itself."""
        self.book.know_browsers(person.id, hashed(browser), self.clock())

    def sign_out(self, token: str) -> None:
        self.book.end_session(hashed(token))

    def remove(self, name: str, by: str) -> None:
        """Raises Refused."""
        person = self.book.by_name(name)
        if person is None:
            raise Refused(say("There is nobody called {name}.", name=name))
        try:
            self.book.remove(person.id)
        except LastMerchant:
            raise Refused("The last merchant stays: nobody else could let people in.") from None
        self.book.record(by, say("removed"), person.name, self.clock())

    def record(self, by: str, action: str, about: str = "") -> None:
        self.book.record(by, action, about, self.clock())


def _check_person(person: Person) -> None:
    """Raises Refused for somebody whose row in the ledger was changed by hand."""
    if person.altered:
        raise Refused(
            "What giftsync keeps of you was changed in the database, not by giftsync. "
            "Ask for a new one-time link."
        )


def check_password(name: str, password: str, again: str) -> None:
    """Raises Refused for one that would be guessed, or that was typed in two ways."""
    if password != again:
        raise Refused("The two passwords differ.")
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise Refused(
            say(
                "Take a password of at least {least} characters; a sentence is best.",
                least=PASSWORD_LENGTH_MIN,
            )
        )
    plain = password.casefold()
    if len(set(plain)) < 5 or plain in (name.casefold() * 9, "giftsync" * 2) or plain in _COMMON:
        raise Refused("This password is one of those that are tried first. Take another one.")


#: Those of twelve characters and more from public lists of the most used.
_COMMON = frozenset(
    (
        *("123456789012", "1234567890123", "passordpassord", "passwordpassword", "password1234"),
        *("password12345", "password123456", "qwertyuiop123", "qwertyuiopasdf", "1q2w3e4r5t6y"),
        *("administrator", "iloveyou1234", "letmeinletmein", "changemechangeme", "welcome12345"),
        *("giftsyncgiftsync", "gavekortgavekort", "sommersommer", "qwerty123456", "abcdefghijkl"),
    )
)


def hashed(token: str) -> str:
    """As a token is kept. It is random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def form_token(session: str) -> str:
    """What every form of the session carries, so that no other site can send one."""
    return hmac.new(session.encode(), b"giftsync form", "sha256").hexdigest()
