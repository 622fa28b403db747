"""Know a privacy request that is sent again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("privacy_requests", sa.Column("digest", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("privacy_requests", "digest")
