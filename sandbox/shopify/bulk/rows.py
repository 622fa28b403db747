"""Runs a bulk query: the lines of its result, one object each (shopify.md §7).

A connection is walked to its end, page by page. Objects inside a connection's object are separate lines that
carry `__parentId`; everything else stays in its object's line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    get_argument_values,
    get_named_type,
)
from graphql.pyutils import Path

from sandbox.shopify.bulk.rules import is_connection
from sandbox.shopify.graphql.connections import PAGE_MAX, Connection
from sandbox.shopify.graphql.documents import fragments_of, operations_of, response_key
from sandbox.shopify.http.context import Info

Line = dict[str, Any]


@dataclass(frozen=True)
class _Partial:
    """As much of GraphQLResolveInfo as the emulator's resolvers look at."""

    context: object
    field_name: str
    path: Path


@dataclass(frozen=True)
class BulkRows:
    """One bulk query, ready to be walked. `typename` names the type of any object."""

    schema: GraphQLSchema
    document: DocumentNode
    context: object
    default_resolver: Callable[..., Any]
    typename: Callable[[Any], str | None]

    def lines(self) -> Iterator[Line]:
        operation = operations_of(self.document)[0]
        root = self.schema.query_type
        if root is None:
            return
        for node in self._fields(operation.selection_set, root):
            definition = root.fields[node.name.value]
            of = get_named_type(definition.type)
            if is_connection(of):
                yield from self._connection(node, root, None, None)
            else:
                value = self._resolve(node, root, None, {})
                if value is not None:
                    yield from self._object(node.selection_set, of, value, None)

    def _connection(
        self, node: FieldNode, on: GraphQLObjectType, source: object, parent_id: str | None
    ) -> Iterator[Line]:
        item_type, selections = self._item(node, on)
        after: str | None = None
        while True:
            window = {"first": PAGE_MAX, "last": None, "after": after, "before": None}
            connection: Connection[Any] = self._resolve(node, on, source, window)
            for item in connection.nodes:
                yield from self._object(selections, item_type, item, parent_id)
            after = connection.page_info.end_cursor
            if not connection.page_info.has_next_page or after is None:
                return

    def _item(
        self, node: FieldNode, on: GraphQLObjectType
    ) -> tuple[GraphQLNamedType, SelectionSetNode | None]:
        """Type and selections of the objects of a connection: `edges { node { ... } }`."""
        of = get_named_type(on.fields[node.name.value].type)
        selections = node.selection_set
        for name in ("edges", "node"):
            found = [one for one in self._fields(selections, of) if one.name.value == name]
            fields = of.fields if isinstance(of, GraphQLObjectType) else {}
            of = get_named_type(fields[name].type)
            selections = found[0].selection_set if found else None
        return of, selections

    def _object(
        self, selections: SelectionSetNode | None, of: GraphQLNamedType, item: object, parent_id: str | None
    ) -> Iterator[Line]:
        concrete = self._concrete(of, item)
        nested: list[FieldNode] = []
        line = self._complete_fields(selections, concrete, item, nested)
        if parent_id is not None:
            line["__parentId"] = parent_id
        yield line
        for node in nested:
            yield from self._connection(node, concrete, item, str(line.get("id")))

    def _complete_fields(
        self,
        selections: SelectionSetNode | None,
        of: GraphQLObjectType,
        item: object,
        nested: list[FieldNode],
    ) -> Line:
        line: Line = {}
        for node in self._fields(selections, of):
            name = node.name.value
            if name == "__typename":
                line[response_key(node)] = of.name
                continue
            definition = of.fields[name]
            if is_connection(get_named_type(definition.type)):
                nested.append(node)
                continue
            value = self._resolve(node, of, item, {})
            line[response_key(node)] = self._complete(definition.type, node, value, nested)
        return line

    def _complete(
        self, of: GraphQLOutputType, node: FieldNode, value: Any, nested: list[FieldNode]
    ) -> object:
        inner = of.of_type if isinstance(of, GraphQLNonNull) else of
        if value is None:
            return None
        if isinstance(inner, GraphQLList):
            return [self._complete(inner.of_type, node, item, nested) for item in value]
        if isinstance(inner, GraphQLScalarType | GraphQLEnumType):
            written: object = inner.coerce_output_value(value)
            return written
        concrete = self._concrete(cast(GraphQLNamedType, inner), value)
        return self._complete_fields(node.selection_set, concrete, value, nested)

    def _concrete(self, of: GraphQLNamedType, item: object) -> GraphQLObjectType:
        if isinstance(of, GraphQLObjectType):
            return of
        found = self.schema.type_map[self.typename(item) or ""]
        return cast(GraphQLObjectType, found)

    def _resolve(
        self, node: FieldNode, on: GraphQLObjectType, source: object, window: Mapping[str, Any]
    ) -> Any:
        definition = on.fields[node.name.value]
        arguments = {**get_argument_values(definition, node, None), **window}
        info = _Partial(self.context, node.name.value, Path(None, response_key(node), on.name))
        resolve = definition.resolve or self.default_resolver
        return resolve(source, cast(Info, info), **arguments)

    def _fields(self, selections: SelectionSetNode | None, on: GraphQLNamedType) -> Iterator[FieldNode]:
        """The fields that apply to objects of a type."""
        fragments = fragments_of(self.document)
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                yield selection
                continue
            if isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                name, inner = (condition.name.value if condition else on.name), selection.selection_set
            elif isinstance(selection, FragmentSpreadNode):
                fragment = fragments[selection.name.value]
                name, inner = fragment.type_condition.name.value, fragment.selection_set
            else:
                continue
            if self._applies(name, on):
                yield from self._fields(inner, on)

    def _applies(self, condition: str, on: GraphQLNamedType) -> bool:
        if condition == on.name:
            return True
        found = self.schema.type_map.get(condition)
        return (
            isinstance(found, GraphQLInterfaceType)
            and isinstance(on, GraphQLObjectType)
            and self.schema.is_sub_type(found, on)
        )
