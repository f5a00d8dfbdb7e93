"""The one table."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Make it."""
    op.create_table("goods", sa.Column("id", sa.Integer, primary_key=True))
