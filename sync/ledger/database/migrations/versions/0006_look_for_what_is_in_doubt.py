"""Look for what is in doubt before its quiet period is over"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is in doubt already is looked for when its quiet period is over, as before.
    op.add_column("intents", sa.Column("look_at", Instant(), nullable=True))


def downgrade() -> None:
    op.drop_column("intents", "look_at")
