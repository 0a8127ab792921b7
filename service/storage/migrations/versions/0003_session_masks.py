"""Masks of refinement sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("sessions", sa.Column("mask", sa.String(64), nullable=True))
    op.create_table(
        "session_masks",
        sa.Column("session_id", sa.String(32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_session_masks_session_id_sessions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", name="pk_session_masks"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("session_masks")
    op.drop_column("sessions", "mask")
