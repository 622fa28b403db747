"""Tell people of sign-ins on browsers that are new to them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "browsers",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("person_id", _Id, nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("met_at", Instant(), nullable=False),
        sa.Column("known_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_browsers_person_id_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_browsers")),
        sa.UniqueConstraint("person_id", "token_hash", name="a_browser_is_met_once_by_a_person"),
    )


def downgrade() -> None:
    op.drop_table("browsers")
