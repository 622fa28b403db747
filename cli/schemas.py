"""The type of every answer that a command prints with `--json`, and its JSON Schema, made from the type.

`docs/reference/json.md` and the files in `docs/reference/schemas/` are made here by `python -m cli`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints, is_typeddict

import msgspec

from cli import dry_run, errors, import_show, pausing, status_report
from cli.commands import (
    audit,
    books,
    cards,
    close,
    conflicts,
    doctor,
    importer,
    issuing,
    links,
    people,
    pool,
    privacy,
    recover,
    serve,
    sync,
    tokens,
    webhooks,
    worker,
)
from cli.commands import config as configuration
from cli.demo import answer as demo
from cli.output import SCHEMA_VERSION, schema_id

#: The type of each answer by its name: mostly the command's.
ANSWERS: Final[Mapping[str, type]] = {
    "demo": demo.DemoAnswer,
    "sync": sync.SyncAnswer,
    "dry run": dry_run.DryRunAnswer,
    "run": sync.RunAnswer,
    "worker": worker.WorkerAnswer,
    "serve": serve.ServeAnswer,
    "status": status_report.StatusAnswer,
    "pause": pausing.PauseAnswer,
    "resume": pausing.ResumeAnswer,
    "audit": audit.AuditAnswer,
    "backup": recover.BackupAnswer,
    "recover": recover.RecoverAnswer,
    "recover card": recover.CardRecoveredAnswer,
    "doctor": doctor.DoctorAnswer,
    "cards list": cards.CardsAnswer,
    "cards find": cards.FoundAnswer,
    "cards show": cards.CardAnswer,
    "cards assign": cards.AssignedAnswer,
    "cards issue": issuing.IssuedAnswer,
    "cards print": issuing.PrintedAnswer,
    "conflicts list": conflicts.ConflictsAnswer,
    "conflicts show": conflicts.ConflictAnswer,
    "conflicts resolve": conflicts.DecidedAnswer,
    "pool add": pool.AddedAnswer,
    "pool status": pool.PoolAnswer,
    "import plan": import_show.PlanAnswer,
    "import layout": importer.LayoutAnswer,
    "import apply": import_show.ReportAnswer,
    "import report": import_show.ReportAnswer,
    "import discard": importer.DiscardedAnswer,
    "import queue": importer.QueuedPlanAnswer,
    "import pause": importer.PausedPlanAnswer,
    "import cancel": importer.CancelledPlanAnswer,
    "import list": importer.PlansAnswer,
    "liability": books.LiabilityAnswer,
    "settlement": books.SettlementAnswer,
    "books entries": books.EntriesAnswer,
    "books cards": books.BalancesAnswer,
    "books rows": books.RowsAnswer,
    "close": close.ClosedAnswer,
    "close verify": close.VerifiedAnswer,
    "close list": close.ClosedMonthsAnswer,
    "webhooks add": webhooks.ReceiverAnswer,
    "webhooks list": webhooks.ReceiversAnswer,
    "webhooks remove": webhooks.EndedAnswer,
    "webhooks replay": webhooks.ReplayedAnswer,
    "links add": links.AddedLinkAnswer,
    "links list": links.LinksAnswer,
    "links move": links.MovedLinkAnswer,
    "links rotate": links.RotatedLinkAnswer,
    "links export": links.ExportedLinkAnswer,
    "links erase": links.ErasedLinkAnswer,
    "links pause": links.PausedLinkAnswer,
    "links resume": links.ResumedLinkAnswer,
    "tokens add": tokens.NewTokenAnswer,
    "tokens list": tokens.TokensAnswer,
    "tokens revoke": tokens.RevokedAnswer,
    "people list": people.PeopleAnswer,
    "people add": people.InvitedAnswer,
    "people remove": people.RemovedAnswer,
    "privacy list": privacy.PrivacyAnswer,
    "config init": configuration.WrittenAnswer,
    "config connectors": configuration.ConnectorsAnswer,
    "config check": configuration.ChecksAnswer,
    "error": errors.ErrorAnswer,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXIT_CODE = {"type": "integer", "enum": [0, 1, 2, 3], "description": "As the command's own exit code."}
_FIELD = re.compile(r"^    (\w+): ")

HEAD = f"""# JSON answers

<!-- Made from the types of the answers by `python -m cli`; a test keeps the two in step. -->

With `--json` a command prints one JSON object, on one line, and nothing else on standard output;
`giftsync status --watch --json` prints one at each change. Each object begins with `schema`, the name and
version of its type, and ends with `exit_code`, which is the command's own. A command that fails prints
[`error`](#error) instead.

- The version, {SCHEMA_VERSION} now, is raised when a key goes away or changes its meaning. New keys may
  come at any time.
- Instants are strings in ISO 8601 with their offset, dates are `2028-12-31`. A key that ends in `_minor`
  has an amount in minor units (øre, cents), signed where it is a change; amounts in the answers of `import`,
  `audit` and `demo` are decimal strings. Cards are named by id and last four, never by their number.
- Names of kinds, states, actions and outcomes are stable; sentences are for people and may change.
- Commands that a connector brings along, below its own name, answer in the same frame; their keys
  are the connector's own.

For a validator, each answer has its JSON Schema.
"""


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of one answer."""
    cls = ANSWERS[name]
    _, defined = msgspec.json.schema_components(
        [cls], schema_hook=_schema_of_other, ref_template="#/$defs/{name}"
    )
    documented = {inner.__name__: inner for inner in _types_within(cls)}
    for title, inner in defined.items():
        _describe(inner, documented.get(title))
    made = defined.pop(cls.__name__)
    _describe(made, cls)
    properties = {
        "schema": {"const": schema_id(name)},
        **made.pop("properties"),
        "exit_code": _EXIT_CODE,
    }
    required = ["schema", *made.pop("required", []), "exit_code"]
    head = {"$schema": DIALECT, "$id": schema_id(name), "title": name}
    return {**made, **head, "properties": properties, "required": required, "$defs": defined}


def schema_files() -> Iterator[tuple[str, str]]:
    """Each schema as a file: its name and its content."""
    for name in ANSWERS:
        text = json.dumps(schema_of(name), indent=1, ensure_ascii=False)
        yield _file_of(name), text + "\n"


def _file_of(name: str) -> str:
    return f"{name.replace(' ', '-')}-{SCHEMA_VERSION}.json"


def render_page() -> str:
    """docs/reference/json.md: every answer, then the types that several have."""
    lines = [HEAD]
    shared: dict[str, dict[str, Any]] = {}
    for name in ANSWERS:
        made = schema_of(name)
        clash = [title for title, one in made["$defs"].items() if shared.get(title, one) != one]
        if clash:
            raise ValueError(f"two types have one name: {', '.join(clash)}")
        shared |= made["$defs"]
        words = f"{made['description']} [Schema](schemas/{_file_of(name)})."
        lines += [f"## `{name}`", "", words, "", *_table(made, skip_frame=True)]
    lines += ["## Types within", ""]
    for title, one in sorted(shared.items()):
        lines += [f"### {title}", ""]
        if "properties" in one:
            lines += [one["description"], "", *_table(one)]
        else:
            lines += [f"One of {_words(one)}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(made: Mapping[str, Any], *, skip_frame: bool = False) -> list[str]:
    frame = ("schema", "exit_code") if skip_frame else ()
    rows = [
        f"| `{key}` | {_words(one)} | {one.get('description', '')} |"
        for key, one in made["properties"].items()
        if key not in frame
    ]
    return ["| key | type | |", "| --- | --- | --- |", *rows, ""]


def _words(one: Mapping[str, Any]) -> str:
    """A type in words: `list of CardRow`, `string or null`."""
    if "$ref" in one:
        title = one["$ref"].rpartition("/")[2]
        return f"[{title}](#{title.lower()})"
    if "anyOf" in one:
        return " or ".join(_words(each) for each in one["anyOf"])
    if isinstance(one.get("type"), list):
        return "any"
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    match one.get("type"):
        case "array":
            return f"list of {_words(one.get('items', {}))}"
        case "object":
            inner = one.get("additionalProperties")
            return f"object of {_words(inner)}" if isinstance(inner, dict) and inner else "object"
        case "string" if one.get("format") == "date-time":
            return "instant"
        case "string" if one.get("format") == "date":
            return "date"
        case str() as kind:
            return kind
    return "any"


def _schema_of_other(cls: type) -> dict[str, Any]:
    """Types that only `cli.output.jsonable` knows how to print."""
    if cls is object:
        return {"type": ["null", "boolean", "number", "string", "array", "object"]}
    if issubclass(cls, Path):
        return {"type": "string"}
    raise NotImplementedError(cls)


def _describe(made: dict[str, Any], cls: type | None) -> None:
    """Put the comments of a type's fields into its schema; its own words are there already."""
    made.pop("title", None)
    if cls is None or "properties" not in made:
        return
    # In the order of the fields; a value that has a default is printed, too.
    made["properties"] = {key: made["properties"][key] for key in get_type_hints(cls)}
    made["required"] = list(made["properties"])
    made["description"] = inspect.cleandoc(cls.__doc__ or "").replace("\n", " ")
    comments = _comments(cls)
    for key, one in made["properties"].items():
        one.pop("default", None)
        if key in comments:
            one["description"] = comments[key]


def _comments(cls: type) -> dict[str, str]:
    """The `#:` comment before each field of a class, and of those that it inherits from."""
    found: dict[str, str] = {}
    for one in (*_bases(cls), cls):
        said: list[str] = []
        for line in inspect.getsource(one).splitlines():
            if line.startswith("    #: "):
                said.append(line.removeprefix("    #: "))
            else:
                field = _FIELD.match(line)
                if field and said:
                    found[field[1]] = " ".join(said)
                said = []
    return found


def _bases(cls: type) -> Iterator[type]:
    """The documented types that a type inherits from. Python 3.11 does not keep them for a TypedDict."""
    (written,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(written, ast.ClassDef)  # noqa: S101 it is a class's own source
    for base in written.bases:
        found = getattr(sys.modules[cls.__module__], ast.unparse(base), None)
        if inspect.isclass(found) and is_typeddict(found):
            yield found


def _types_within(cls: type, seen: set[type] | None = None) -> Iterator[type]:
    """Every documented type that a type is made of."""
    seen = set() if seen is None else seen
    for inner in _mentioned(cls):
        if inner not in seen:
            seen.add(inner)
            yield inner
            yield from _types_within(inner, seen)


def _mentioned(cls: type) -> Iterator[type]:
    waiting: list[Any] = list(get_type_hints(cls).values())
    while waiting:
        one = waiting.pop()
        waiting += get_args(one)
        if inspect.isclass(one) and (is_typeddict(one) or hasattr(one, "__dataclass_fields__")):
            yield one
