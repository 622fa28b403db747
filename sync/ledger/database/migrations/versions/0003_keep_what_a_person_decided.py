"""Keep what a person decided about a conflict, so that it can be replaced"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
    op.add_column("conflicts", sa.Column("decided", json, nullable=True))


def downgrade() -> None:
    op.drop_column("conflicts", "decided")
