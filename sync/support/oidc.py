"""Sign-in by an OpenID Connect provider, beside passwords and passkeys: off unless the settings name one.

The settings say who comes in: by a claim, such as the mail address, as a person that the console knows; or by
a group of theirs with a role, which the provider then decides at each sign-in. Nobody else does.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken

from mappings.sentences import say
from sync.ledger.support.oidc import IdentityBook
from sync.ledger.support.people import NameTaken, Person
from sync.support.oidc_provider import Provider, ProviderFailed, Question, SignInRefused
from sync.support.people import NAME_LENGTH_MAX, People, Refused, Role, role_words

log = structlog.get_logger(__name__)

#: How long somebody may take at the provider.
ATTEMPT_SECONDS = 600
CODE_CHARS_MAX = 4_096
EMAIL = "email"


@dataclass(frozen=True)
class Admission:
    """Who comes in, as the settings say."""

    #: The claim that names the person; `email` counts only where the provider has verified it.
    claim: str = EMAIL
    #: Names of people in the console, by the claim in small letters.
    people: Mapping[str, str] = field(default_factory=dict)
    #: The claim with the groups of a person, and their roles.
    role_claim: str = "groups"
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """An attempt: where the browser goes, and the cookie that it comes back with."""

    address: str
    cookie: str


@dataclass(frozen=True)
class OidcSignIn:
    """Lets people in by one provider."""

    people: People
    provider: Provider
    admission: Admission
    #: What the button says after "Sign in with".
    label: str
    scopes: str = "openid email profile"
    #: The address of the console that the provider sends people back to; None: where their browser is.
    public_url: str | None = None
    #: Cookies of before a restart are not taken.
    _box: Fernet = field(default_factory=lambda: Fernet(Fernet.generate_key()), init=False, repr=False)

    @cached_property
    def book(self) -> IdentityBook:
        return IdentityBook(self.people.engine, self.people.vault)

    def redirect(self, origin: str) -> str:
        return f"{(self.public_url or origin).rstrip('/')}/sign-in/oidc/back"

    # --- an attempt -----------------------------------------------------------------------------------------

    def begin(self, origin: str, after: str) -> Begun:
        """Raises Refused when the provider does not answer."""
        question = Question(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        try:
            address = self.provider.address(question, self.redirect(origin), self.scopes)
        except ProviderFailed as error:
            raise self._failed(error) from None
        kept = {**asdict(question), "next": after}
        now = int(self.people.clock().timestamp())
        return Begun(address, self._box.encrypt_at_time(json.dumps(kept).encode(), now).decode())

    def finish(self, cookie: str, answer: Mapping[str, str], origin: str, address: str) -> tuple[str, str]:
        """The token of a new session, and where to go on. `answer` is the query that the browser brought.

        Raises Refused or TooManyTries.
        """
        self.people.check_tries(address)
        try:
            question, after = self._asked(cookie, answer.get("state", ""))
            self.provider.check_answer(answer.get("iss"))
            if "error" in answer or not 0 < len(answer.get("code", "")) <= CODE_CHARS_MAX:
                raise SignInRefused("the provider sent no code")
            wanted = (self.admission.claim, *((self.admission.role_claim,) if self.admission.roles else ()))
            claims = self.provider.claims(answer["code"], question, self.redirect(origin), wanted)
            person = self._person(claims)
        except ProviderFailed as error:
            raise self._failed(error) from None
        except SignInRefused as error:
            self.people.failed_from(address)
            log.warning("a sign-in was refused", action="oidc.refused", why=str(error))
            raise Refused("The sign-in was not accepted. Try again.") from None
        except Refused:
            self.people.failed_from(address)
            raise
        return self.people.let_in(person, say("signed in with OIDC")), after

    def _asked(self, cookie: str, state: str) -> tuple[Question, str]:
        """The attempt that this browser has begun."""
        now = int(self.people.clock().timestamp())
        try:
            kept = json.loads(self._box.decrypt_at_time(cookie.encode(), ATTEMPT_SECONDS, now))
        except InvalidToken:
            raise SignInRefused("this browser has begun no attempt, or too long ago") from None
        if not hmac.compare_digest(state.encode(), kept["state"].encode()):
            raise SignInRefused("the answer belongs to another attempt")
        return Question(kept["state"], kept["nonce"], kept["verifier"]), kept["next"]

    def _failed(self, error: ProviderFailed) -> Refused:
        log.error("the OIDC provider cannot be used", action="oidc.failed", why=str(error))
        return Refused("The provider does not answer as it should. Try again, or sign in another way.")

    # --- who it is ------------------------------------------------------------------------------------------

    def _person(self, claims: Mapping[str, Any]) -> Person:
        """Raises Refused for somebody whom the settings do not let in."""
        issuer, subject, now = self.provider.issuer, str(claims["sub"]), self.people.clock()
        bound = self.book.find(issuer, subject)
        who, role = self._who(claims), self._role(claims)
        named = self.admission.people.get(who.casefold()) if who else None
        if named is not None:
            person = self.people.book.by_name(named)
            if person is None:
                log.error("the settings name somebody whom the console lacks", action="oidc.unknown")
                raise _no_access()
            self.book.bind(issuer, subject, person.id, now)
            return person
        if role is None or (bound is not None and not bound.follows_role):
            if bound is not None:
                # The provider, or the settings, let them in no more.
                self.book.end_sessions(bound.person.id)
            raise _no_access()
        if bound is not None:
            if bound.person.role != role.value:
                self.book.set_role(bound.person.id, role.value)
                self.people.record(
                    "OIDC",
                    say("changed the role"),
                    say("{name}: {role}", name=bound.person.name, role=role_words(role)),
                )
            return bound.person
        if not who:
            raise _no_access()
        try:
            person = self.book.add(issuer, subject, who, role.value, now)
        except NameTaken:
            # It may be somebody else of that name: only the settings can say that it is not.
            raise Refused("Somebody has this name already; the settings have to say who that is.") from None
        self.people.record(person.name, say("joined"), role_words(role))
        return person

    def _who(self, claims: Mapping[str, Any]) -> str:
        """The claim that names the person; empty when it cannot be believed."""
        found = claims.get(self.admission.claim)
        if not isinstance(found, str) or not found.isprintable() or len(found) > NAME_LENGTH_MAX:
            return ""
        verified = self.admission.claim != EMAIL or claims.get("email_verified") is True
        return " ".join(found.split()) if verified else ""

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role of the person's groups."""
        found = claims.get(self.admission.role_claim)
        groups = found if isinstance(found, list) else [found]
        roles = [self.admission.roles.get(one) for one in groups if isinstance(one, str)]
        return max(filter(None, roles), key=list(Role).index, default=None)


def _no_access() -> Refused:
    return Refused("Your account is not let in here. Ask somebody with the role merchant.")
