"""Sign-in with passkeys (Web Authentication Level 2), beside passwords: a device proves that it holds a key.

A key is bound to the address of the console by the browser, so that no other site can ask for it, and the
device asks its person for a finger or a PIN: it stands for name and password together. The device's own
statement about its maker is not asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from mappings.sentences import say
from sync.ledger.support.passkeys import PasskeyBook, PasskeyKnown
from sync.ledger.support.people import Person
from sync.support.people import People, Refused

#: How long a page with a challenge may be open.
CHALLENGE_VALID = timedelta(minutes=15)
#: Of one person.
PASSKEYS_MAX = 10
NAME_LENGTH_MAX = 40
ANSWER_CHARS_MAX = 20_000
_NONCE, _TIME, _MAC = 16, 8, 32
_VERIFIED = UserVerificationRequirement.REQUIRED


def _not_accepted() -> Refused:
    return Refused("This passkey was not accepted. Try again, or sign in with your password.")


def domain_of(origin: str) -> str | None:
    """The domain that keys are bound to; None where browsers have none: at an IP address, without HTTPS."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host if host and (parts.scheme == "https" or host == "localhost") else None
    return None


@dataclass
class Challenges:
    """Random numbers to be signed, each once and within CHALLENGE_VALID. Only used ones are kept."""

    clock: Callable[[], datetime]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    #: Those that were used, until they would be too old anyway.
    _used: dict[bytes, int] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def make(self, purpose: str) -> bytes:
        ends = int((self.clock() + CHALLENGE_VALID).timestamp())
        body = secrets.token_bytes(_NONCE) + ends.to_bytes(_TIME, "big")
        return body + self._mac(purpose, body)

    def use(self, purpose: str, challenge: bytes) -> None:
        """Raises Refused for one that was not made here for this purpose, is too old, or was used."""
        body, mac = challenge[:-_MAC], challenge[-_MAC:]
        if len(body) != _NONCE + _TIME or not hmac.compare_digest(mac, self._mac(purpose, body)):
            raise _not_accepted()
        now, ends = int(self.clock().timestamp()), int.from_bytes(body[_NONCE:], "big")
        with self._lock:
            self._used = {one: until for one, until in self._used.items() if until > now}
            if ends <= now or body in self._used:
                raise Refused("This page was open for too long. Load it again, and try once more.")
            self._used[body] = ends

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.new(self._key, purpose.encode() + b"\0" + body, hashlib.sha256).digest()


@dataclass(frozen=True)
class Passkeys:
    """Adds passkeys, and lets people in by them. `origin` is where the person's browser is."""

    people: People

    @cached_property
    def book(self) -> PasskeyBook:
        return PasskeyBook(self.people.engine, self.people.vault)

    @cached_property
    def _challenges(self) -> Challenges:
        return Challenges(self.people.clock)

    # --- adding one -----------------------------------------------------------------------------------------

    def options_to_add(self, person: Person, origin: str) -> str | None:
        """What the browser's `credentials.create` is given, as JSON; None: there are no passkeys here."""
        domain = domain_of(origin)
        if domain is None:
            return None
        known = [
            PublicKeyCredentialDescriptor(base64url_to_bytes(one.credential_id))
            for one in self.book.of(person.id)
        ]
        options = generate_registration_options(
            rp_id=domain,
            rp_name="giftsync",
            user_id=f"giftsync person {person.id}".encode(),
            user_name=person.name,
            challenge=self._challenges.make(_adding(person)),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_VERIFIED
            ),
            exclude_credentials=known,
        )
        return options_to_json(options)

    def add(self, person: Person, password: str, address: str, name: str, answer: str, origin: str) -> None:
        """Keep the key that the browser made. The password shows that it is the person. Raises Refused or
        TooManyTries."""
        self.people.confirm(person, password, address)
        name = " ".join(name.split())
        if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
            raise Refused("Give the passkey a name of up to 40 characters.")
        if len(self.book.of(person.id)) >= PASSKEYS_MAX:
            raise Refused("Nobody has more than 10 passkeys. Take one out first.")
        domain = domain_of(origin)
        if domain is None or len(answer) > ANSWER_CHARS_MAX:
            raise _not_accepted()
        try:
            credential = parse_registration_credential_json(answer)
            challenge = parse_client_data_json(credential.response.client_data_json).challenge
            self._challenges.use(_adding(person), challenge)
            made = verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=domain,
                expected_origin=origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError):
            raise Refused("The browser's passkey was not accepted. Try again.") from None
        credential_id = bytes_to_base64url(made.credential_id)
        now = self.people.clock()
        try:
            self.book.add(person.id, name, credential_id, made.credential_public_key, made.sign_count, now)
        except PasskeyKnown:
            raise Refused("This passkey was added before.") from None
        self.people.record(person.name, say("added a passkey"), name)

    def remove(self, person: Person, passkey_id: int) -> None:
        name = self.book.remove(person.id, passkey_id)
        if name is not None:
            self.people.record(person.name, say("took out a passkey"), name)

    # --- coming in ------------------------------------------------------------------------------------------

    def options_to_sign_in(self, origin: str) -> str | None:
        """What the browser's `credentials.get` is given, as JSON; None: there are no passkeys here."""
        domain = domain_of(origin)
        if domain is None:
            return None
        options = generate_authentication_options(
            rp_id=domain, challenge=self._challenges.make(_COMING_IN), user_verification=_VERIFIED
        )
        return options_to_json(options)

    def sign_in(self, answer: str, origin: str, address: str) -> str:
        """The token of a new session. Raises Refused or TooManyTries."""
        self.people.check_tries(address)
        try:
            person = self._proved(answer, origin)
        except Refused:
            self.people.failed_from(address)
            raise
        return self.people.let_in(person, say("signed in with a passkey"))

    def _proved(self, answer: str, origin: str) -> Person:
        domain = domain_of(origin)
        if domain is None or len(answer) > ANSWER_CHARS_MAX:
            raise _not_accepted()
        try:
            credential = parse_authentication_credential_json(answer)
            challenge = parse_client_data_json(credential.response.client_data_json).challenge
            self._challenges.use(_COMING_IN, challenge)
            found = self.book.find(bytes_to_base64url(credential.raw_id))
            if found is None:
                raise _not_accepted()
            passkey, person = found
            proved = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=domain,
                expected_origin=origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError):
            raise _not_accepted() from None
        if not self.book.used(passkey.id, passkey.sign_count, proved.new_sign_count, self.people.clock()):
            raise _not_accepted()
        return person


_COMING_IN = "sign in"


def _adding(person: Person) -> str:
    return f"add a passkey of {person.id}"
