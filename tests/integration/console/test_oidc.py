"""People sign in by an OpenID Connect provider, and nobody else does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from cli.console import oidc_of
from config.settings import ConsoleSection
from sync.support.oidc import ATTEMPT_SECONDS, OidcSignIn
from sync.support.people import Role
from tests.integration.console.house import Browser, House, headline, open_house, read
from tests.integration.console.loopback_provider import CLIENT, SECRET, LoopbackProvider, loopback_provider
from tests.integration.shop import Shop

MAIL = {"sub": "kari-1", "email": "Kari@Shop.no", "email_verified": True}
NOT_ACCEPTED = "The sign-in was not accepted. Try again."


@pytest.fixture
def provider(shop: Shop) -> Iterator[LoopbackProvider]:
    with loopback_provider(lambda: shop.clock().timestamp()) as found:
        yield found


@pytest.fixture
def house(shop: Shop, provider: LoopbackProvider) -> Iterator[House]:
    """A console that lets in Kari by her mail, and two groups by their role."""
    with open_house(shop, lambda people: oidc_of(section(provider), people)) as found:
        provider.redirects.append(f"{found.url}/sign-in/oidc/back")
        yield found


def section(provider: LoopbackProvider, **more: object) -> ConsoleSection:
    oidc = {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret": provider.secret,
        "label": "Entra",
        "people": {"kari@shop.no": "Kari"},
        "roles": {"leaders": "merchant", "till": "support"},
        **more,
    }
    return ConsoleSection.model_validate({"oidc": oidc})


def come_in(
    house: House, after: str = "", browser: Browser | None = None
) -> tuple[Browser, requests.Response]:
    """The whole way: to the provider and back."""
    browser = browser or house.stranger()
    return browser, browser.get(f"/sign-in/oidc?next={after}" if after else "/sign-in/oidc")


def brought_back(house: House, browser: Browser) -> str:
    """What the provider sends the browser back with: the path and its query."""
    there = browser.get("/sign-in/oidc", follow=False).headers["Location"]
    back = requests.get(there, allow_redirects=False, timeout=10).headers["Location"]
    return back.removeprefix(house.url)


def is_in(browser: Browser) -> bool:
    return browser.get("/", follow=False).status_code == 200


def test_given_a_verified_mail_of_a_person_then_they_come_in_as_themselves(
    house: House, provider: LoopbackProvider
) -> None:
    house.enter(Role.SUPPORT, "Kari")
    provider.person = MAIL

    assert "Sign in with Entra" in house.stranger().text("/sign-in")
    browser, page = come_in(house, "/cards")

    assert page.url == f"{house.url}/cards"
    assert ">Kari<" in page.text
    assert browser.get("/people").status_code == 403
    assert [deed.action for deed in house.people.book.newest_deeds(2)] == [
        "signed in on a new browser",
        "signed in with OIDC",
    ]
    provider.person = {**MAIL, "email": "k.nordmann@shop.no"}
    assert not is_in(come_in(house)[0])


def test_given_a_group_with_a_role_then_its_people_are_made_and_the_provider_decides_their_role(
    house: House, provider: LoopbackProvider
) -> None:
    ola: dict[str, Any] = {"sub": "ola-7", "email": "ola@shop.no", "email_verified": True}
    provider.person = {**ola, "groups": ["till", "leaders"]}
    first, page = come_in(house)
    assert ">ola@shop.no<" in page.text
    assert first.get("/people").status_code == 200

    provider.person = {**ola, "groups": ["till"]}
    second, _ = come_in(house)
    assert [second.get("/people").status_code, first.get("/people").status_code] == [403, 403]
    assert len(house.people.book.list()) == 1

    provider.person = {**ola, "groups": ["cleaners"]}
    third, page = come_in(house)
    assert "Your account is not let in here." in read(page.text)
    assert not is_in(third)
    assert not is_in(second), "whom the provider lets in no more is not in any more"


def test_given_claims_that_only_userinfo_tells_then_they_count_for_the_same_person_alone(
    house: House, provider: LoopbackProvider
) -> None:
    provider.person = {"sub": "ola-7"}
    provider.userinfo = {"sub": "ola-7", "email": "ola@shop.no", "email_verified": True, "groups": "till"}
    assert is_in(come_in(house)[0])

    provider.userinfo["sub"] = "kari-1"
    _, page = come_in(house)
    assert NOT_ACCEPTED in read(page.text)


@pytest.mark.parametrize(
    "person",
    [
        {"sub": "x", "email": "kari@shop.no"},
        {"sub": "x", "email": "kari@shop.no", "email_verified": "true"},
        {"sub": "x", "email": ["kari@shop.no"], "email_verified": True},
        {"sub": "x", "name": "Kari"},
        {"sub": "x", "email_verified": True, "groups": ["till"]},
        {"sub": "x", "email": "a\u202ex@shop.no", "email_verified": True, "groups": ["till"]},
    ],
)
def test_given_a_claim_that_cannot_be_believed_then_nobody_comes_in(
    house: House, provider: LoopbackProvider, person: dict[str, Any]
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person = person

    browser, page = come_in(house)

    assert page.status_code == 401
    assert not is_in(browser)


def test_given_a_name_of_somebody_else_then_a_group_does_not_take_it(
    house: House, provider: LoopbackProvider
) -> None:
    house.enter(Role.MERCHANT, "ola@shop.no")
    provider.person = {"sub": "o", "email": "Ola@shop.no", "email_verified": True, "groups": ["till"]}

    _, page = come_in(house)

    assert "Somebody has this name already" in read(page.text)


def none_signed(_: LoopbackProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none")  # type: ignore[arg-type]  # Nobody signs it.


def signed_with_the_secret(_: LoopbackProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, SECRET * 3, "HS256", {"kid": "key 1"})


def signed_by_another(_: LoopbackProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "key 1"})


def changed_after_signing(provider: LoopbackProvider, claims: dict[str, Any]) -> str:
    head, _, signature = jwt.encode(claims, provider.key, "ES256", {"kid": "key 1"}).split(".")
    body = base64.urlsafe_b64encode(json.dumps({**claims, "groups": ["leaders"]}).encode()).decode()
    return f"{head}.{body.rstrip('=')}.{signature}"


@pytest.mark.parametrize(
    "sign", [none_signed, signed_with_the_secret, signed_by_another, changed_after_signing]
)
def test_given_a_token_that_the_provider_has_not_signed_then_it_is_not_taken(
    house: House, provider: LoopbackProvider, sign: Any
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person, provider.sign = MAIL, sign

    browser, page = come_in(house)

    assert (page.status_code, NOT_ACCEPTED in read(page.text)) == (401, True)
    assert not is_in(browser)


@pytest.mark.parametrize(
    "forged",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another client"},
        {"aud": [CLIENT, "another client"]},
        {"azp": "another client"},
        {"exp": 1_000},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": 9_999_999_999},
        {"nbf": 9_999_999_999},
        {"nonce": "another attempt"},
        {"nonce": None},
        {"sub": None},
        {"sub": ""},
    ],
)
def test_given_a_token_for_something_else_then_it_is_not_taken(
    house: House, provider: LoopbackProvider, forged: dict[str, Any]
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person, provider.forged = MAIL, forged

    browser, page = come_in(house)

    assert (page.status_code, NOT_ACCEPTED in read(page.text)) == (401, True)
    assert not is_in(browser)


def test_given_a_key_that_was_changed_then_the_new_one_is_asked_for(
    house: House, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person = MAIL
    assert is_in(come_in(house)[0])
    monkeypatch.setattr("sync.support.oidc_provider.KEYS_AGAIN_SECONDS", -1.0)

    provider.key, provider.kid = ec.generate_private_key(ec.SECP256R1()), "key 2"

    assert is_in(come_in(house)[0])


def test_given_an_answer_in_another_browser_or_for_another_attempt_then_it_is_not_taken(
    house: House, provider: LoopbackProvider
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person, mine, other = MAIL, house.stranger(), house.stranger()
    back = brought_back(house, mine)

    stolen = other.get(back)
    brought_back(house, other)
    mixed = other.get(back)
    forged = mine.get(back.replace("state=", "state=x"))
    after_that = mine.get(back)

    assert [one.status_code for one in (stolen, mixed, forged, after_that)] == [401] * 4
    assert not is_in(mine)
    assert not is_in(other)


def test_given_an_answer_that_is_brought_twice_or_too_late_then_it_works_once_and_in_time(
    house: House, provider: LoopbackProvider
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person, browser, late = MAIL, house.stranger(), house.stranger()
    back, too_late = brought_back(house, browser), brought_back(house, late)

    assert browser.get(back, follow=False).status_code == 303
    house.shop.clock.advance(ATTEMPT_SECONDS + 1)

    assert browser.get(back).status_code == 401
    assert late.get(too_late).status_code == 401


def test_given_another_providers_answer_then_it_is_not_taken(
    house: House, provider: LoopbackProvider
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person, browser = MAIL, house.stranger()
    named = brought_back(house, browser)
    where = urlsplit(named)
    query = {name: values[0] for name, values in parse_qs(where.query).items()}

    mixed_up = browser.session.get(
        house.url + where.path, params={**query, "iss": "https://elsewhere.example"}, timeout=10
    )
    browser = house.stranger()
    query = {n: v[0] for n, v in parse_qs(urlsplit(brought_back(house, browser)).query).items() if n != "iss"}
    unnamed = browser.session.get(house.url + where.path, params=query, timeout=10)

    assert (mixed_up.status_code, unnamed.status_code) == (401, 401)


def test_given_somebody_who_says_no_at_the_provider_then_the_page_says_so(house: House) -> None:
    browser = house.stranger()
    there = browser.get("/sign-in/oidc", follow=False).headers["Location"]
    state = parse_qs(urlsplit(there).query)["state"][0]

    page = browser.get(f"/sign-in/oidc/back?error=access_denied&error_description=<b>no</b>&state={state}")

    assert NOT_ACCEPTED in read(page.text)
    assert "<b>no" not in page.text


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://elsewhere.example"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"jwks_uri": None},
    ],
)
def test_given_a_configuration_that_cannot_be_believed_then_nobody_is_sent_there(
    house: House, provider: LoopbackProvider, configuration: dict[str, Any]
) -> None:
    provider.configuration = configuration

    page = house.stranger().get("/sign-in/oidc", follow=False)

    assert page.status_code == 502
    assert "The provider does not answer as it should." in read(page.text)


def test_given_a_provider_that_is_down_then_passwords_go_on_working(
    house: House, provider: LoopbackProvider
) -> None:
    provider.down = True

    assert house.stranger().get("/sign-in/oidc").status_code == 502
    assert is_in(house.enter())


@pytest.mark.parametrize(
    "after", ["//elsewhere.example", "https://elsewhere.example/", "/\\elsewhere.example"]
)
def test_given_another_site_to_go_on_to_then_it_goes_to_the_overview(
    house: House, provider: LoopbackProvider, after: str
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person = MAIL

    _, page = come_in(house, after)

    assert page.url == f"{house.url}/"


def test_given_a_session_that_somebody_else_chose_then_signing_in_ends_it(
    house: House, provider: LoopbackProvider
) -> None:
    house.enter(Role.MERCHANT, "Kari")
    provider.person, browser = MAIL, house.enter(Role.SUPPORT, "Ola")
    before = browser.session.cookies["giftsync"]

    come_in(house, browser=browser)

    assert browser.session.cookies["giftsync"] != before
    assert house.people.who(before) is None


def test_given_many_refused_attempts_then_the_address_waits(house: House, provider: LoopbackProvider) -> None:
    provider.person = {"sub": "x"}
    browser = house.stranger()

    answers = [come_in(house, browser=browser)[1] for _ in range(41)]

    assert {one.status_code for one in answers[:40]} == {401}
    assert answers[40].status_code == 429


def test_given_a_person_who_is_taken_out_then_their_sessions_and_identity_end(
    house: House, provider: LoopbackProvider
) -> None:
    merchant = house.enter(Role.MERCHANT, "Kari")
    house.enter(Role.MERCHANT, "Ola")
    provider.person = MAIL
    browser, _ = come_in(house)

    house.people.remove("Kari", "Ola")

    assert not is_in(browser)
    assert not is_in(merchant)
    _, page = come_in(house)
    assert "Your account is not let in here." in read(page.text)


def test_given_the_console_behind_a_name_then_the_provider_sends_people_there_alone(
    house: House, provider: LoopbackProvider
) -> None:
    sign_in: OidcSignIn | None = house.console.oidc
    assert sign_in is not None
    named = replace(sign_in, public_url="https://gifts.example.com/")

    address = named.begin("http://evil.example", "/").address

    query = parse_qs(urlsplit(address).query)
    assert query["redirect_uri"] == ["https://gifts.example.com/sign-in/oidc/back"]
    assert (query["response_type"], query["code_challenge_method"]) == (["code"], ["S256"])
    assert SECRET not in address


def test_given_a_public_client_then_pkce_alone_binds_the_code(shop: Shop, provider: LoopbackProvider) -> None:
    provider.secret = None
    with open_house(shop, lambda people: oidc_of(section(provider), people)) as house:
        provider.redirects.append(f"{house.url}/sign-in/oidc/back")
        house.enter(Role.MERCHANT, "Kari")
        provider.person = MAIL

        assert is_in(come_in(house)[0])


def test_given_no_provider_then_there_is_no_such_page(shop: Shop) -> None:
    with open_house(shop) as house:
        assert oidc_of(ConsoleSection(), house.people) is None
        assert house.stranger().get("/sign-in/oidc").status_code == 404
        assert "Sign in with" not in house.stranger().text("/sign-in")
        assert headline(house.stranger().get("/sign-in").text) == "Sign in"
