"""The ledgers that one PostgreSQL database holds, each in a schema of its own."""

from __future__ import annotations

from sqlalchemy import create_engine, text


def schemas_of(url: str) -> list[str]:
    """The schemas of links, by name."""
    return _first_values(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'link\\_%' ORDER BY 1")


def schemas_with_tables(url: str) -> set[str]:
    """Those that hold any, with the one where tables go that name no schema."""
    names = _first_values(url, "SELECT DISTINCT table_schema FROM information_schema.tables")
    return {name for name in names if name.startswith(("link_", "public"))}


def _first_values(url: str, query: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(text(query)).scalars())
    engine.dispose()
    return found
