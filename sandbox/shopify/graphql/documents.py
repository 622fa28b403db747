"""Small helpers to walk GraphQL documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLInputField,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    is_required_argument,
    is_required_input_field,
)
from graphql.language import Node


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }


def operations_of(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [
        definition for definition in document.definitions if isinstance(definition, OperationDefinitionNode)
    ]


def pick_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation to run, or None if the document and the name don't settle it."""
    operations = operations_of(document)
    if name:
        return next((one for one in operations if one.name and one.name.value == name), None)
    return operations[0] if len(operations) == 1 else None


def flat_fields(
    selections: SelectionSetNode | None, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    """The fields of a selection set, those inside fragments included, in order."""
    if selections is None:
        return
    for selection in selections.selections:
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, InlineFragmentNode):
            yield from flat_fields(selection.selection_set, fragments)
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value in fragments:
            yield from flat_fields(fragments[selection.name.value].selection_set, fragments)


def response_key(node: FieldNode) -> str:
    return node.alias.value if node.alias else node.name.value


def integer_argument(node: FieldNode, name: str, variables: Mapping[str, Any]) -> int | None:
    """The value of an Int argument, or None if it is not given."""
    for argument in node.arguments or ():
        if argument.name.value != name:
            continue
        if isinstance(argument.value, IntValueNode):
            return int(argument.value.value)
        if isinstance(argument.value, VariableNode):
            value = variables.get(argument.value.name.value)
            return value if isinstance(value, int) else None
    return None


def is_required(argument: GraphQLArgument | GraphQLInputField) -> bool:
    """Whether an argument or input key must be given."""
    if isinstance(argument, GraphQLArgument):
        return is_required_argument(argument)
    return is_required_input_field(argument)


def location(node: Node) -> list[dict[str, int]]:
    """`locations` of an error at that node."""
    if node.loc is None:
        return []
    start = node.loc.source.get_location(node.loc.start)
    return [{"line": start.line, "column": start.column}]
