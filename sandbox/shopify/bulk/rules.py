"""What a bulk query or mutation may look like, and the messages for those that may not (shopify.md §7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationType,
    SelectionSetNode,
    get_named_type,
)

from sandbox.shopify.graphql.documents import flat_fields, fragments_of, operations_of
from sandbox.shopify.graphql.errors import UserError
from sandbox.shopify.graphql.validation import parse_document, validate_document

TEXT_BYTES_MAX = 65_535
CONNECTIONS_MAX = 5
NESTING_MAX = 2
FILE_BYTES_MAX = 100 * 1024 * 1024
CLIENT_IDENTIFIER_MIN = 10
CLIENT_IDENTIFIER_MAX = 255

_FORBIDDEN = {"bulkOperationRunMutation", "bulkOperationRunQuery"}
_MONEY = {"giftCardCredit", "giftCardDebit"}


@dataclass(frozen=True)
class _Connection:
    """A connection field of the document. `depth` counts connections from the outside, from 1."""

    node: FieldNode
    depth: int
    in_list: bool
    uses_nodes: bool
    holds_connection: bool
    selects_id: bool


def check_query(schema: GraphQLSchema, text: str) -> DocumentNode | list[UserError]:
    """The document of a bulk query, or why it is refused."""
    size = len(text.encode())
    if size > TEXT_BYTES_MAX:
        return _invalid(f"Query is too large ({size} bytes; maximum is {TEXT_BYTES_MAX} bytes)")
    document = parse_document(text)
    if isinstance(document, dict):
        return _invalid(f"Invalid bulk query: {document['message']}")
    operations = operations_of(document)
    if len(operations) != 1 or operations[0].operation is not OperationType.QUERY:
        return _invalid("Invalid operation type. Only `query` operations are supported.")
    errors = validate_document(schema, document)
    if errors:
        return _invalid(f"Invalid bulk query: {errors[0]['message']}")
    messages = list(_query_problems(schema, document))
    return [error for message in messages for error in _invalid(message)] or document


def _invalid(message: str) -> list[UserError]:
    return [UserError(("query",), message, "INVALID")]


def _query_problems(schema: GraphQLSchema, document: DocumentNode) -> Iterator[str]:
    operation = operations_of(document)[0]
    fragments = fragments_of(document)
    for node in flat_fields(operation.selection_set, fragments):
        if node.name.value in {"node", "nodes"}:
            yield f"Bulk queries cannot contain a top level `{node.name.value}` field."
    connections = list(_connections(schema, document))
    if not connections:
        yield "Bulk queries must contain at least one connection."
    if len(connections) > CONNECTIONS_MAX:
        yield f"Bulk queries cannot contain more than {CONNECTIONS_MAX} connections."
    if any(one.depth > NESTING_MAX for one in connections):
        yield f"Bulk queries cannot contain connections with a nesting depth greater than {NESTING_MAX}."
    if any(one.in_list for one in connections):
        yield "Queries that contain a connection field within a list field are not currently supported."
    by_nodes = [one.node.name.value for one in connections if one.uses_nodes]
    if by_nodes:
        names = ", ".join(f"'{name}'" for name in by_nodes)
        yield (
            "All connection fields in a bulk query must select their contents using 'edges' > 'node', e.g: "
            f"'{by_nodes[0]} {{ edges {{ node {{'. Selecting via 'nodes' is not supported. "
            f"Invalid connection fields: {names}."
        )
    nameless = [one.node.name.value for one in connections if one.holds_connection and not one.selects_id]
    if nameless:
        yield (
            "The parent 'node' field for a nested connection must select the 'id' field without an alias and "
            f"must be of 'ID' return type. Connection fields without 'id': {', '.join(nameless)}."
        )


def check_mutation(
    schema: GraphQLSchema, text: str, client_identifier: str | None, *, money_allowed: bool
) -> DocumentNode | UserError:
    """The document of a bulk mutation, or why it is refused."""
    if client_identifier is not None:
        problem = _client_identifier_problem(client_identifier)
        if problem is not None:
            return UserError(("clientIdentifier",), problem, "INVALID_MUTATION")
    size = len(text.encode())
    if size > TEXT_BYTES_MAX:
        message = f"is too large ({size} bytes; maximum is {TEXT_BYTES_MAX} bytes)"
        return UserError(("query",), message, "INVALID_MUTATION")
    document = parse_document(text)
    if isinstance(document, dict):
        return UserError(None, f"Failed to parse the mutation - {document['message']}", "INVALID_MUTATION")
    operations = operations_of(document)
    if len(operations) != 1 or operations[0].operation is not OperationType.MUTATION:
        message = "Invalid operation type. Only `mutation` operations are supported."
        return UserError(None, message, "INVALID_MUTATION")
    roots = [node.name.value for node in flat_fields(operations[0].selection_set, fragments_of(document))]
    if len(roots) != 1:
        return UserError(("mutation",), "You must specify a single top level mutation.")
    if roots[0] in _FORBIDDEN or (roots[0] in _MONEY and not money_allowed):
        return UserError(("mutation",), "You must use an allowed mutation name.")
    errors = validate_document(schema, document)
    if errors:
        return UserError(None, f"Failed to parse the mutation - {errors[0]['message']}", "INVALID_MUTATION")
    if len(list(_connections(schema, document))) > 1:
        return UserError(("mutation",), "Bulk mutations cannot contain more than 1 connection.")
    return document


def _client_identifier_problem(text: str) -> str | None:
    if len(text) < CLIENT_IDENTIFIER_MIN:
        return f"is too short (minimum is {CLIENT_IDENTIFIER_MIN} characters)"
    if len(text) > CLIENT_IDENTIFIER_MAX:
        return f"is too long (maximum is {CLIENT_IDENTIFIER_MAX} characters)"
    return None


def is_connection(of: GraphQLNamedType) -> bool:
    return of.name.endswith("Connection")


def _connections(schema: GraphQLSchema, document: DocumentNode) -> Iterator[_Connection]:
    operation = operations_of(document)[0]
    root = schema.get_root_type(operation.operation)
    if root is not None:
        yield from _inside(schema, document, operation.selection_set, root, depth=0, in_list=False)


def _inside(
    schema: GraphQLSchema,
    document: DocumentNode,
    selections: SelectionSetNode | None,
    on: GraphQLNamedType,
    *,
    depth: int,
    in_list: bool,
) -> Iterator[_Connection]:
    fragments = fragments_of(document)
    for node in flat_fields(selections, fragments):
        fields = on.fields if isinstance(on, GraphQLObjectType | GraphQLInterfaceType) else {}
        if node.name.value not in fields:
            continue
        of = fields[node.name.value].type
        inner = get_named_type(of)
        if not is_connection(inner):
            # `edges` is a list too, but that is how connections are read.
            listed = in_list or (_is_list(of) and node.name.value != "edges")
            yield from _inside(schema, document, node.selection_set, inner, depth=depth, in_list=listed)
            continue
        below = list(_inside(schema, document, node.selection_set, inner, depth=depth + 1, in_list=in_list))
        chosen = list(flat_fields(node.selection_set, fragments))
        edges = [one for one in chosen if one.name.value == "edges"]
        nodes = [one for edge in edges for one in flat_fields(edge.selection_set, fragments)]
        ids = [
            one
            for parent in nodes
            if parent.name.value == "node"
            for one in flat_fields(parent.selection_set, fragments)
        ]
        yield _Connection(
            node=node,
            depth=depth + 1,
            in_list=in_list,
            uses_nodes=any(one.name.value == "nodes" for one in chosen),
            holds_connection=bool(below),
            selects_id=any(one.name.value == "id" and one.alias is None for one in ids),
        )
        yield from below


def _is_list(of: GraphQLOutputType) -> bool:
    return isinstance(of.of_type if isinstance(of, GraphQLNonNull) else of, GraphQLList)
