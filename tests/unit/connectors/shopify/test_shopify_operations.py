"""The documents that giftsync sends to Shopify, against the official schema (tests/schema)."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    build_schema,
    coerce_input_value,
    parse,
    print_ast,
    validate,
)

from connectors.api.card import CardRef
from connectors.api.effect import Effect, EffectKind
from connectors.shopify.mapping import create_input
from connectors.shopify.operations import (
    CREATE_CUSTOMER,
    FIND_CUSTOMER,
    OPERATIONS,
    Operation,
    every_document,
)
from connectors.shopify.side import VERSIONS
from mappings.serials import Serial

FOLDER = Path(__file__).parents[3] / "schema"
EMULATED = Path(__file__).parents[4] / "sandbox" / "shopify" / "graphql" / "schema.graphql"


def official(version: str) -> GraphQLSchema:
    return build_schema((FOLDER / f"{version}.graphql").read_text(encoding="utf-8"))


SCHEMAS = {version: official(version) for version in VERSIONS}


def definition(operation: Operation) -> OperationDefinitionNode:
    found = [node for node in parse(operation.document).definitions if node.kind == "operation_definition"]
    (node,) = found
    assert isinstance(node, OperationDefinitionNode)
    return node


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", every_document())
def test_the_official_schema_accepts_the_document(name: str, version: str) -> None:
    assert validate(SCHEMAS[version], parse(every_document()[name])) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_takes_the_cards_that_giftsync_makes(version: str) -> None:
    card = CardRef(serial=Serial("1000200030004000"))
    effect = Effect(
        "gs-abc", EffectKind.CREATE, card, "NOK", 10_000, expires_on=date(2031, 5, 17), note="x", brand="gold"
    )
    assert taken(create_input(effect, version), version)
    assert not taken(create_input(effect, "2026-10"), "2026-04")


def taken(made: dict[str, object], version: str) -> bool:
    wanted = SCHEMAS[version].type_map["GiftCardCreateInput"]
    assert isinstance(wanted, GraphQLInputObjectType)
    return coerce_input_value(made, wanted) is not Undefined


def test_the_emulator_speaks_the_official_schema() -> None:
    """Where both know a member, its type is the same; so what passes in the sandbox means something."""
    newest = SCHEMAS[VERSIONS[0]]
    emulated = build_schema(EMULATED.read_text(encoding="utf-8"), assume_valid=True)
    compared = 0
    for name, one in newest.type_map.items():
        other = emulated.type_map.get(name)
        for member, field in getattr(one, "fields", {}).items():
            theirs = getattr(other, "fields", {}).get(member)
            if theirs is not None and not name.startswith("__"):
                compared += 1
                assert str(theirs.type) == str(field.type), f"{name}.{member}"
                for argument in getattr(field, "args", {}):
                    assert str(theirs.args[argument].type) == str(field.args[argument].type)
    assert compared > len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_document_is_what_the_operation_says(operation: Operation) -> None:
    node = definition(operation)

    assert node.name is not None
    assert node.name.value == operation.name
    assert (node.operation is OperationType.MUTATION) == operation.changes
    roots = [print_ast(field).split("(")[0].split("{")[0].strip() for field in node.selection_set.selections]
    assert operation.root in roots
    # One money mutation per request: several fields would have several outcomes.
    assert len(roots) == 1 or not operation.changes


def test_names_are_unique() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


def test_no_document_asks_for_a_whole_code_or_for_anything_about_a_person() -> None:
    for operation in OPERATIONS:
        for secret in ("giftCardCode", "email", "phone", "displayName", "firstName"):
            assert secret not in operation.document


def test_only_who_is_to_be_told_is_looked_for_and_only_their_id_is_asked_for() -> None:
    about_people = [one for one in OPERATIONS if "customer" in one.document]

    assert about_people == [FIND_CUSTOMER, CREATE_CUSTOMER]
    assert all(re.search(r"customer\w*(\(.*\))? { id }", one.document) for one in about_people)
