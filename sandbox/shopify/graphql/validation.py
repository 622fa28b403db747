"""Static validation, answered in Shopify's shapes (shopify.md §5).

The rules that a client can trip over are written out here, because their answers have shapes of their own.
What remains (fragment cycles, merged fields, ...) is left to graphql-core and answered with its message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from graphql import (
    ConstValueNode,
    DirectiveNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_leaf_type,
    is_type_sub_type_of,
    parse,
    print_ast,
    type_from_ast,
    validate,
    value_from_ast_untyped,
)
from graphql.language import BooleanValueNode, FloatValueNode, Node

from sandbox.shopify.graphql.documents import fragments_of, is_required, location, operations_of, response_key
from sandbox.shopify.graphql.errors import JsonObject
from sandbox.shopify.graphql.ids import is_gid
from sandbox.shopify.graphql.scalars import CoercionError

Path = tuple[str | int, ...]


def parse_document(text: str) -> DocumentNode | JsonObject:
    """The parsed document, or the error to answer."""
    try:
        return parse(text)
    except GraphQLSyntaxError as error:
        places = error.locations or []
        where = f" at [{places[0].line}, {places[0].column}]" if places else ""
        return {
            "message": f"syntax error, {error.message.removeprefix('Syntax Error: ')}{where}",
            "locations": [place.formatted for place in places],
            "extensions": {"code": "PARSE_ERROR"},
        }


def validate_document(schema: GraphQLSchema, document: DocumentNode) -> list[JsonObject]:
    """Every error of the document against the schema; empty if it may run."""
    errors = _Validator(schema, fragments_of(document)).document(document)
    if errors:
        return errors
    return [
        {
            "message": error.message,
            "locations": [place.formatted for place in error.locations or ()],
            "extensions": {"code": "invalidDocument"},
        }
        for error in validate(schema, document, hide_suggestions=True)
    ]


@dataclass
class _Scope:
    """The variables of the operation that is being walked."""

    name: str
    declared: dict[str, GraphQLInputType]
    with_default: set[str]
    used: set[str] = field(default_factory=set)


@dataclass
class _Validator:
    schema: GraphQLSchema
    fragments: dict[str, FragmentDefinitionNode]
    errors: list[JsonObject] = field(default_factory=list)
    scope: _Scope | None = None

    def document(self, document: DocumentNode) -> list[JsonObject]:
        for fragment in self.fragments.values():
            self.fragment(fragment)
        for operation in operations_of(document):
            self.operation(operation)
        return self.errors

    def report(self, message: str, node: Node, path: Path, code: str, **extensions: object) -> None:
        self.errors.append(
            {
                "message": message,
                "locations": location(node),
                "path": list(path),
                "extensions": {"code": code, **extensions},
            }
        )

    def operation(self, operation: OperationDefinitionNode) -> None:
        kind = operation.operation.value
        path: Path = (f"{kind} {operation.name.value}" if operation.name else kind,)
        declared: dict[str, GraphQLInputType] = {}
        for definition in operation.variable_definitions or ():
            declared_type = type_from_ast(self.schema, definition.type)
            if declared_type is None:
                name = print_ast(definition.type).strip("[]!")
                self.report(
                    f"{name} isn't a defined input type (on ${definition.variable.name.value})",
                    definition, path, "variableRequiresValidType", typeName=name,
                    variableName=definition.variable.name.value,
                )  # fmt: skip
                continue
            declared[definition.variable.name.value] = declared_type  # type: ignore[assignment]
        with_default = {
            definition.variable.name.value
            for definition in operation.variable_definitions or ()
            if definition.default_value is not None
        }
        self.scope = _Scope(
            operation.name.value if operation.name else f"anonymous {kind}", declared, with_default
        )
        root = self.schema.get_root_type(operation.operation)
        if root is not None:
            self.selections(operation.selection_set, root, path, in_fragments=True)
        for definition in operation.variable_definitions or ():
            name = definition.variable.name.value
            if name in declared and name not in self.scope.used:
                self.report(
                    f"Variable ${name} is declared by {self.scope.name} but not used",
                    operation, path, "variableNotUsed", variableName=name,
                )  # fmt: skip
        self.scope = None

    def fragment(self, fragment: FragmentDefinitionNode) -> None:
        path: Path = (f"fragment {fragment.name.value}",)
        on = self.composite(fragment.type_condition.name.value, fragment, path)
        if on is not None:
            self.selections(fragment.selection_set, on, path, in_fragments=False)

    def composite(self, name: str, node: Node, path: Path) -> GraphQLNamedType | None:
        found = self.schema.get_type(name)
        if found is None:
            self.report(
                f"No such type {name}, so it can't be a fragment condition",
                node,
                path,
                "undefinedType",
                typeName=name,
            )
            return None
        return found if is_composite_type(found) else None

    def selections(
        self, selections: SelectionSetNode, on: GraphQLNamedType, path: Path, *, in_fragments: bool
    ) -> None:
        """Walk a selection set.

        Fragments are checked once for themselves; operations walk into them too (`in_fragments`), but only to
        learn which variables are used there.
        """
        for selection in selections.selections:
            self.directives(selection.directives or (), path)
            if isinstance(selection, FieldNode):
                self.field(selection, on, path, in_fragments=in_fragments)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner: GraphQLNamedType | None = on
                if condition is not None:
                    inner = self.composite(
                        condition.name.value, selection, (*path, f"... on {condition.name.value}")
                    )
                if inner is not None:
                    inside = (*path, f"... on {inner.name}")
                    self.selections(selection.selection_set, inner, inside, in_fragments=in_fragments)
            elif isinstance(selection, FragmentSpreadNode) and in_fragments and self.scope is not None:
                self.scope.used.update(self.variables_in(selection.name.value, set()))

    def variables_in(self, name: str, seen: set[str]) -> Iterator[str]:
        """Names of the variables that a fragment uses, through other fragments too."""
        if name in seen or name not in self.fragments:
            return
        seen.add(name)
        stack: list[Node] = [self.fragments[name]]
        while stack:
            node = stack.pop()
            if isinstance(node, VariableNode):
                yield node.name.value
            elif isinstance(node, FragmentSpreadNode):
                yield from self.variables_in(node.name.value, seen)
            for key in node.keys:
                child = getattr(node, key, None)
                stack.extend(
                    child if isinstance(child, list | tuple) else [child] if isinstance(child, Node) else []
                )

    def field(self, node: FieldNode, on: GraphQLNamedType, path: Path, *, in_fragments: bool) -> None:
        name = node.name.value
        here = (*path, response_key(node))
        if name.startswith("__"):
            self.introspection(node, here)
            return
        fields = on.fields if isinstance(on, GraphQLObjectType | GraphQLInterfaceType) else {}
        definition = fields.get(name)
        if definition is None:
            self.report(
                f"Field '{name}' doesn't exist on type '{on.name}'", node, here, "undefinedField",
                typeName=on.name, fieldName=name,
            )  # fmt: skip
            return
        self.arguments(node, definition.args, here)
        self.subselection(node, definition.type, here, in_fragments=in_fragments)

    def introspection(self, node: FieldNode, path: Path) -> None:
        """Introspection is left to graphql-core, but its variables count as used."""
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode) and self.scope is not None:
                self.scope.used.add(argument.value.name.value)

    def subselection(self, node: FieldNode, of: GraphQLOutputType, path: Path, *, in_fragments: bool) -> None:
        inner = get_named_type(of)
        label = f"field '{node.name.value}'"
        if is_leaf_type(inner):
            if node.selection_set is not None:
                chosen = ", ".join(print_ast(one) for one in node.selection_set.selections)
                self.report(
                    f"Selections can't be made on scalars ({label} returns {inner.name} but has selections "
                    f"[{chosen}])",
                    node, path, "selectionMismatch", nodeName=label, typeName=inner.name,
                )  # fmt: skip
        elif node.selection_set is None:
            self.report(
                f"Field must have selections ({label} returns {inner.name} but has no selections. "
                f"Did you mean '{node.name.value} {{ ... }}'?)",
                node, path, "selectionMismatch", nodeName=label, typeName=inner.name,
            )  # fmt: skip
        else:
            self.selections(node.selection_set, inner, path, in_fragments=in_fragments)

    def directives(self, directives: tuple[DirectiveNode, ...], path: Path) -> None:
        for directive in directives:
            known = self.schema.get_directive(directive.name.value)
            if known is None:
                self.report(
                    f"Directive @{directive.name.value} is not defined", directive, path,
                    "undefinedDirective", directiveName=directive.name.value,
                )  # fmt: skip
                continue
            for argument in directive.arguments or ():
                if argument.name.value in known.args:
                    expected = known.args[argument.name.value]
                    self.value(argument.value, expected, argument.name.value, path, ("Directive", known.name))

    def arguments(self, node: FieldNode, known: dict[str, GraphQLArgument], path: Path) -> None:
        given = {argument.name.value: argument for argument in node.arguments or ()}
        name = node.name.value
        for key, argument in given.items():
            if key not in known:
                self.report(
                    f"Field '{name}' doesn't accept argument '{key}'", argument, (*path, key),
                    "argumentNotAccepted", name=name, typeName="Field", argumentName=key,
                )  # fmt: skip
                continue
            self.value(argument.value, known[key], key, (*path, key), ("Field", name))
        missing = ", ".join(key for key, one in known.items() if is_required(one) and key not in given)
        if missing:
            self.report(
                f"Field '{name}' is missing required arguments: {missing}", node, path,
                "missingRequiredArguments", className="Field", name=name, arguments=missing,
            )  # fmt: skip

    def value(
        self,
        node: ValueNode,
        expected: GraphQLArgument | GraphQLInputField,
        key: str,
        path: Path,
        owner: tuple[str, str],
    ) -> None:
        """Check a literal or variable; `owner` is what takes it: ("Field", "giftCard")."""
        if isinstance(node, VariableNode):
            self.variable(node, expected, expected.type, key, path)
            return
        self.literal(node, expected, expected.type, key, path, owner)

    def variable(
        self,
        node: VariableNode,
        expected: GraphQLArgument | GraphQLInputField | None,
        of: GraphQLInputType,
        key: str,
        path: Path,
    ) -> None:
        if self.scope is None:
            return
        name = node.name.value
        self.scope.used.add(name)
        declared = self.scope.declared.get(name)
        if declared is None:
            self.report(
                f"Variable ${name} is used by {self.scope.name} but not declared", node, path,
                "variableNotDefined", variableName=name,
            )  # fmt: skip
            return
        has_default = name in self.scope.with_default or (
            expected is not None and not is_required(expected) and isinstance(of, GraphQLNonNull)
        )
        wanted = of.of_type if has_default and isinstance(of, GraphQLNonNull) else of
        if not is_type_sub_type_of(self.schema, declared, wanted):
            self.report(
                f"Type mismatch on variable ${name} and argument {key} ({declared} / {of})", node, path,
                "variableMismatch", variableName=name, typeName=str(declared), argumentName=key,
                errorMessage="Type mismatch",
            )  # fmt: skip

    def literal(
        self,
        node: ValueNode,
        expected: GraphQLArgument | GraphQLInputField | None,
        of: GraphQLInputType,
        key: str,
        path: Path,
        owner: tuple[str, str],
    ) -> None:
        if isinstance(node, VariableNode):
            self.variable(node, expected, of, key, path)
            return
        inner = of.of_type if isinstance(of, GraphQLNonNull) else of
        if isinstance(node, NullValueNode):
            if isinstance(of, GraphQLNonNull):
                self.incompatible(node, of, key, path, owner)
            return
        if isinstance(inner, GraphQLList):
            items = node.values if isinstance(node, ListValueNode) else (node,)
            for position, item in enumerate(items):
                at = (*path, position) if isinstance(node, ListValueNode) else path
                self.literal(item, None, inner.of_type, key, at, owner)
        elif isinstance(inner, GraphQLInputObjectType):
            if isinstance(node, ObjectValueNode):
                self.input_object(node, inner, path)
            else:
                self.incompatible(node, of, key, path, owner)
        else:
            self.leaf(node, inner, of, key, path, owner)

    def input_object(self, node: ObjectValueNode, of: GraphQLInputObjectType, path: Path) -> None:
        given = {one.name.value: one for one in node.fields}
        for key, one in given.items():
            if key not in of.fields:
                self.report(
                    f"InputObject '{of.name}' doesn't accept argument '{key}'", one, (*path, key),
                    "argumentNotAccepted", name=of.name, typeName="InputObject", argumentName=key,
                )  # fmt: skip
                continue
            self.value(one.value, of.fields[key], key, (*path, key), ("InputObject", of.name))
        for key, expected in of.fields.items():
            if is_required(expected) and key not in given:
                self.report(
                    f"Argument '{key}' on InputObject '{of.name}' is required. Expected type {expected.type}",
                    node, (*path, key), "missingRequiredInputObjectAttribute", argumentName=key,
                    argumentType=str(expected.type), inputObjectType=of.name,
                )  # fmt: skip
        if of.is_one_of and len(given) != 1:
            self.report(
                f"OneOf Input Object '{of.name}' must specify exactly one key.", node, path,
                "invalidOneOfInputObject", inputObjectType=of.name,
            )  # fmt: skip

    def leaf(
        self,
        node: ValueNode,
        inner: GraphQLScalarType | GraphQLEnumType | GraphQLInputType,
        of: GraphQLInputType,
        key: str,
        path: Path,
        owner: tuple[str, str],
    ) -> None:
        if isinstance(inner, GraphQLEnumType):
            if not (isinstance(node, EnumValueNode) and node.value in inner.values):
                self.incompatible(node, of, key, path, owner)
            return
        if not isinstance(inner, GraphQLScalarType) or not _fits(node, inner.name):
            self.incompatible(node, of, key, path, owner)
            return
        explanation = _explain(node, inner)
        if explanation is not None:
            self.report(explanation, node, path, "argumentLiteralsIncompatible", typeName="CoercionError")

    def incompatible(
        self, node: ValueNode, of: GraphQLInputType, key: str, path: Path, owner: tuple[str, str]
    ) -> None:
        kind, name = owner
        self.report(
            f"Argument '{key}' on {kind} '{name}' has an invalid value ({print_ast(node)}). "
            f"Expected type '{of}'.",
            node, path, "argumentLiteralsIncompatible", typeName=kind, argumentName=key,
        )  # fmt: skip


_LITERALS: dict[str, tuple[type[ValueNode], ...]] = {
    "Boolean": (BooleanValueNode,),
    "Float": (FloatValueNode, IntValueNode),
    "ID": (StringValueNode, IntValueNode),
    "Int": (IntValueNode,),
    "String": (StringValueNode,),
    "Date": (StringValueNode,),
    "DateTime": (StringValueNode,),
    "Decimal": (StringValueNode, IntValueNode, FloatValueNode),
    "URL": (StringValueNode,),
    "UnsignedInt64": (StringValueNode, IntValueNode),
}


def _fits(node: ValueNode, scalar: str) -> bool:
    kinds = _LITERALS.get(scalar)
    return kinds is None or isinstance(node, kinds)


def _explain(node: ConstValueNode | ValueNode, scalar: GraphQLScalarType) -> str | None:
    """Why the scalar doesn't take the literal; None if it does."""
    value = value_from_ast_untyped(node)
    if scalar.name == "ID":
        return None if is_gid(str(value)) else f"Invalid global id '{value}'"
    if scalar.name in {"Boolean", "Float", "Int", "String"}:
        return None
    try:
        scalar.coerce_input_value(value)
    except CoercionError as error:
        return str(error)
    return None
