"""Every call of the OpenAPI document with made-up requests: no 500, and no answer that it does not name."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.authority.served import CallerOfApi, serving
from tests.integration.shop import SERIAL, Shop

EXAMPLES = int(os.environ.get("TEST_API_EXAMPLES", "25"))
_NUMBERS = itertools.count()
CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)


@dataclass(frozen=True)
class Things:
    """What there is to ask about."""

    card: str
    redemption: str
    authorization: str
    #: Another one, to be voided.
    unwanted: str


def _described(found: Any) -> Any:
    """The operation; a mistake in the document fails."""
    return found.ok()


def _filled_in(case: Any, things: Things) -> Any:
    """The same case about things that are there."""
    is_void = case.operation.label.endswith("/void")
    known = {
        "card": things.card,
        "redemption": things.redemption,
        "authorization": things.unwanted if is_void else things.authorization,
    }
    case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"key-{next(_NUMBERS)}"
    if isinstance(case.body, dict):
        body = {name: value for name, value in case.body.items() if name not in ("cvc", "token", "brand")}
        # Closed is for good, and would leave the others nothing to do.
        sensible = {"amount": "0.01", "currency": "NOK", "type": "monetary", "status": "active"}
        case.body = {name: sensible.get(name, value) for name, value in body.items()}
        if "expires_on" in body:
            case.body["expires_on"] = None
        if case.operation.label == "POST /giftcards":
            case.body["number"] = f"7000{next(_NUMBERS):012}"
        elif not case.path_parameters:
            case.body["number"] = SERIAL
    return case


def _things(shop: Shop, till: CallerOfApi) -> Things:
    shop.in_step(100_000)
    card = till.post("/giftcards/validate", {"number": SERIAL}).json()["token"]
    paid = till.pay(SERIAL, "10.00").json()["id"]
    ask = {"number": SERIAL, "amount": "10.00", "currency": "NOK"}
    held = [till.post("/authorizations", ask).json()["id"] for _ in range(2)]
    return Things(card, paid, *held)


def _ask(
    operation: Any,
    mode: GenerationMode,
    auth: dict[str, str],
    things: Things,
    seen: set[int],
) -> None:
    """Many requests of one call; collects what they were answered."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask(case: Any, known: bool) -> None:
        if known:
            case = _filled_in(case, things)
        answer = case.call_and_validate(headers=auth, checks=list(CHECKS))
        assert answer.status_code != 500
        seen.add(answer.status_code)

    ask()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "engine",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])],
    indirect=True,
)
def test_given_the_document_then_no_request_is_answered_otherwise(shop: Shop) -> None:
    with serving(shop) as served:
        till = served.caller()
        things = _things(shop, till)
        document = requests.get(f"{served.url}/openapi.json", timeout=30).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=served.url)
        auth = {"Authorization": f"Bearer {till.secret}"}
        seen: dict[str, set[int]] = {}

        for operation in [_described(found) for found in schema.get_all_operations()]:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _ask(operation, mode, auth, things, seen.setdefault(operation.label, set()))

        assert len(seen) >= 14
        # The requests were such as are carried out, too, and not only refused.
        assert [label for label, found in seen.items() if not any(status < 300 for status in found)] == []
        for page in shop.rows("api_requests"):
            assert SERIAL not in str(page)


def test_given_the_document_then_it_is_openapi_3_1_and_names_a_problem_for_every_error(shop: Shop) -> None:
    with serving(shop) as served:
        document = requests.get(f"{served.url}/openapi.json", timeout=30).json()

    assert document["openapi"] == "3.1.0"
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                kind = "application/problem+json" if int(status) >= 400 else "application/json"
                assert list(answer["content"]) == [kind]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
