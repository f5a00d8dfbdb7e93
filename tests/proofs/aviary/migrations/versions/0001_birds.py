"""Birds."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "bird",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("canary", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bird"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("bird")
