"""What a gazette keeps: accounts and entries, declared once in a process and shared by every gazette in it."""

import hashlib
import re
import unicodedata
from datetime import UTC, datetime

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Index, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAME_LENGTH = 60
TITLE_LENGTH = 150
BODY_LENGTH = 50_000

_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")


class Base(DeclarativeBase):
    """The base of this application's models and of no other's."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True)


def now() -> datetime:
    """Tell the time as the database keeps it: UTC, without saying so, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def name_key(name: str) -> str:
    """Fold a name so that two that look alike but for case or form are one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


class Account(Base):
    """One person who may write here, known by name; at most one of them owns the site."""

    __tablename__ = "account"
    __table_args__ = (
        # Two people who come in first at the same moment: the database lets one of them own the site.
        Index(
            "ix_account_one_owner",
            "is_owner",
            unique=True,
            sqlite_where=text("is_owner"),
            postgresql_where=text("is_owner"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    name_key: Mapped[str] = mapped_column(String(NAME_LENGTH * 4), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    is_owner: Mapped[bool] = mapped_column(default=False)
    joined_at: Mapped[datetime] = mapped_column(default=now)

    # What Flask-Login asks of an account; its own mixin is untyped.
    is_authenticated = True
    is_active = True
    is_anonymous = False

    @property
    def seal(self) -> str:
        """A mark that changes with the password, so that a sign-in made with another one ends."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:16]

    def get_id(self) -> str:
        """Spell what a signed-in visitor's cookie carries."""
        return f"{self.id}.{self.seal}"

    def may_change(self, entry: "Entry") -> bool:
        """Tell whether this person may edit or delete `entry`: who wrote it, and the owner of the site."""
        return self.is_owner or self.id == entry.author_id


class Entry(Base):
    """One piece of writing: a title, and plain text in paragraphs."""

    __tablename__ = "entry"
    # Without it SQLite would give a deleted entry's number, and so its address, to the next one.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(TITLE_LENGTH))
    body: Mapped[str] = mapped_column(Text)
    author_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    written_at: Mapped[datetime] = mapped_column(default=now, index=True)
    changed_at: Mapped[datetime | None]

    author: Mapped[Account] = relationship()

    @property
    def paragraphs(self) -> list[str]:
        """The text between blank lines."""
        return [part for part in _BLANK_LINE.split(self.body) if part.strip()]
