"""The documents that giftsync sends to Shopify, against the official schema's slice."""

from __future__ import annotations

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

from connectors.shopify.operations import OPERATIONS, Operation

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


def test_no_document_asks_for_a_whole_code_or_attaches_a_person() -> None:
    for operation in OPERATIONS:
        for secret in ("giftCardCode", "customer", "email", "phone"):
            assert secret not in operation.document
