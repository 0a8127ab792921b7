"""Comparisons within a mask, to which nothing can be added."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; comparisons of before know all networks or have no mask."""
    op.add_column("comparisons", sa.Column("masked", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("comparisons", "masked")
