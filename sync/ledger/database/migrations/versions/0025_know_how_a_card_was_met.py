"""Know how a card was met"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("polls", sa.Column("kind", sa.Integer(), nullable=False, server_default=sa.text("2")))
    op.add_column("poll_populations", sa.Column("rates", sa.Text(), nullable=True))
    # Weights are in other units now, and a queue with both would read the old ones too rarely. All of this is
    # estimates: the cards join again.
    op.execute("UPDATE presences SET watched = false WHERE id IN (SELECT presence_id FROM polls)")
    op.execute("DELETE FROM polls")
    op.execute("DELETE FROM poll_populations")


def downgrade() -> None:
    op.drop_column("poll_populations", "rates")
    op.drop_column("polls", "kind")
