"""Say which older releases may go on beside this schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Alembic's own table: it reads and writes its one column by name.
    op.add_column("alembic_version", sa.Column("beside", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("alembic_version", "beside")
