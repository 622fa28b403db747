"""The documents that giftsync sends to Shopify, against the official schema's slice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import (
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    parse,
    print_ast,
    validate,
)

from connectors.shopify.operations import CREATE_CUSTOMER, FIND_CUSTOMER, OPERATIONS, Operation

SCHEMA = Path(__file__).parents[2] / "sandbox" / "shopify" / "schema.graphql"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text(encoding="utf-8"), assume_valid=True)


def definition(operation: Operation) -> OperationDefinitionNode:
    found = [node for node in parse(operation.document).definitions if node.kind == "operation_definition"]
    (node,) = found
    assert isinstance(node, OperationDefinitionNode)
    return node


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_schema_accepts_the_document(operation: Operation, schema: GraphQLSchema) -> None:
    assert validate(schema, parse(operation.document)) == []


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
