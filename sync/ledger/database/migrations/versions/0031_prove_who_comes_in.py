"""Prove who comes in, and what is to be carried out"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_TABLES = ("people", "invitations", "sessions", "passkeys", "oidc_identities", "assignments", "import_rows")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("proof", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "proof")
