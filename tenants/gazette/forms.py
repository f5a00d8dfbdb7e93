"""What visitors send: read, cleaned and checked, with a kind sentence for each thing that is wrong."""

import re
import unicodedata
from dataclasses import dataclass, field

from werkzeug.datastructures import MultiDict

from tenants.gazette.models import BODY_LENGTH, NAME_LENGTH, TITLE_LENGTH

PASSWORD_LEAST = 10
PASSWORD_MOST = 200

# Control characters, and the marks with which a text can turn the page's direction around it.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_SPACES = re.compile(r"\s+")

Fields = MultiDict[str, str]


@dataclass(slots=True)
class Draft:
    """An entry as its author sent it."""

    title: str = ""
    body: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> "Draft":
        """Read and check what was sent."""
        draft = cls(_one_line(fields.get("title", "")), _many_lines(fields.get("body", "")))
        if not draft.title:
            draft.errors["title"] = "An entry needs a title."
        elif len(draft.title) > TITLE_LENGTH:
            draft.errors["title"] = _too_long("A title", TITLE_LENGTH, len(draft.title))
        if not draft.body:
            draft.errors["body"] = "There is no text yet."
        elif len(draft.body) > BODY_LENGTH:
            draft.errors["body"] = _too_long("An entry", BODY_LENGTH, len(draft.body))
        return draft


@dataclass(slots=True)
class Newcomer:
    """A person who wants to join."""

    name: str = ""
    password: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> "Newcomer":
        """Read and check what was sent."""
        newcomer = cls(_one_line(fields.get("name", "")), fields.get("password", ""))
        if not any(letter.isalnum() for letter in newcomer.name):
            newcomer.errors["name"] = "Please choose a name, with at least one letter or digit."
        elif len(newcomer.name) > NAME_LENGTH:
            newcomer.errors["name"] = _too_long("A name", NAME_LENGTH, len(newcomer.name))
        size = len(newcomer.password)
        if size < PASSWORD_LEAST:
            newcomer.errors["password"] = (
                f"A password needs at least {PASSWORD_LEAST} characters; a few words in a row make a good one."
            )
        elif size > PASSWORD_MOST:
            newcomer.errors["password"] = _too_long("A password", PASSWORD_MOST, size)
        return newcomer


@dataclass(slots=True)
class Visitor:
    """A person who wants to sign in."""

    name: str = ""
    password: str = ""
    remember: bool = False
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> "Visitor":
        """Read what was sent; whether it opens anything is not for a form to say."""
        return cls(_one_line(fields.get("name", "")), fields.get("password", ""), "remember" in fields)


def _one_line(text: str) -> str:
    return _UNSEEN.sub("", _SPACES.sub(" ", unicodedata.normalize("NFC", text))).strip()


def _many_lines(text: str) -> str:
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(_UNSEEN.sub("", line).rstrip() for line in lines).strip("\n")


def _too_long(what: str, most: int, size: int) -> str:
    over = size - most
    return f"{what} has room for {most:,} characters; this is {over:,} too long."
