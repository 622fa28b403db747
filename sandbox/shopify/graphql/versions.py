"""API versions: which are served, and what each lacks (shopify.md §1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files

from graphql import (
    DocumentNode,
    EnumTypeDefinitionNode,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    build_ast_schema,
    parse,
)
from graphql.language import DefinitionNode, InputValueDefinitionNode, parse_type

from sandbox.shopify.graphql.scalars import bind_scalars


@dataclass(frozen=True)
class VersionDifference:
    """What a version lacks, compared with the text in schema.graphql."""

    types: frozenset[str] = frozenset()
    #: "Type.member": object fields, input fields and enum values.
    members: frozenset[str] = frozenset()
    #: "Input.key" whose type is another: the type's text.
    input_types: dict[str, str] = field(default_factory=dict)


_LATER_THAN_2026_07 = frozenset({"OrderDisplayFulfillmentStatus.FULFILLMENT_NOT_REQUIRED"})

#: Served versions, oldest first.
VERSIONS: dict[str, VersionDifference] = {
    "2026-04": VersionDifference(
        types=frozenset({"GiftCardCashOutTransaction", "GiftCardCrossCurrencyRedemptionStrategy"}),
        members=_LATER_THAN_2026_07
        | {
            "GiftCard.crossCurrencyRedemptionStrategy",
            "GiftCard.isRedeemable",
            "GiftCard.lineItem",
            "GiftCardCreateInput.crossCurrencyRedemptionStrategy",
            "GiftCardCreateInput.initialAmount",
            "GiftCardUpdateInput.crossCurrencyRedemptionStrategy",
        },
        input_types={"GiftCardCreateInput.initialValue": "Decimal!"},
    ),
    "2026-07": VersionDifference(members=_LATER_THAN_2026_07),
    "2026-10": VersionDifference(),
}
OLDEST_VERSION = next(iter(VERSIONS))


def served_version(asked: str) -> str:
    """The version that answers; a retired or unknown one is silently served by the oldest."""
    return asked if asked in VERSIONS else OLDEST_VERSION


@cache
def _sdl() -> str:
    return files("sandbox.shopify.graphql").joinpath("schema.graphql").read_text("utf-8")


def build_schema(version: str) -> GraphQLSchema:
    """A new schema of that version, with scalars but without resolvers."""
    document = _without(parse(_sdl(), no_location=True), VERSIONS[version])
    schema = build_ast_schema(document, assume_valid_sdl=True)
    bind_scalars(schema)
    return schema


def _without(document: DocumentNode, difference: VersionDifference) -> DocumentNode:
    kept = tuple(
        _reduced(definition, difference)
        for definition in document.definitions
        if _name(definition) not in difference.types
    )
    return replace(document, definitions=kept)


def _reduced(definition: DefinitionNode, difference: VersionDifference) -> DefinitionNode:
    """The definition of one type without the members that the version lacks."""
    owner = _name(definition)
    if isinstance(definition, EnumTypeDefinitionNode):
        values = definition.values or ()
        kept = tuple(one for one in values if f"{owner}.{one.name.value}" not in difference.members)
        return replace(definition, values=kept)
    if isinstance(definition, ObjectTypeDefinitionNode):
        fields = definition.fields or ()
        left = tuple(one for one in fields if f"{owner}.{one.name.value}" not in difference.members)
        return replace(definition, fields=left)
    if isinstance(definition, InputObjectTypeDefinitionNode):
        inputs = definition.fields or ()
        rest = [one for one in inputs if f"{owner}.{one.name.value}" not in difference.members]
        return replace(definition, fields=tuple(_retyped(owner, one, difference) for one in rest))
    return definition


def _retyped(
    owner: str | None, member: InputValueDefinitionNode, difference: VersionDifference
) -> InputValueDefinitionNode:
    of = difference.input_types.get(f"{owner}.{member.name.value}")
    # A mandatory input can't be deprecated.
    return member if of is None else replace(member, type=parse_type(of), directives=())


def _name(definition: DefinitionNode) -> str | None:
    name = getattr(definition, "name", None)
    return None if name is None else str(name.value)
