"""Parse nginx configuration: directives, each with its words and, where it has one, the block it opens."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<word>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s;{}"']+)|(?P<sign>[;{}])""")


@dataclass
class Directive:
    """One directive; `inside` is None where it ends with a semicolon."""

    words: tuple[str, ...]
    inside: "list[Directive] | None" = field(default=None)


def parse(text: str) -> list[Directive]:
    """Return the directives of a text; ValueError where it is not of that form."""
    stack: list[list[Directive]] = [[]]
    words: list[str] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"no nginx configuration: {text[at : at + 40]!r}")
        at = token.end()
        if token["word"]:
            words.append(token["word"].strip("\"'"))
        elif token["sign"] == "}":
            if words or len(stack) == 1:
                raise ValueError(f"a block ends too early: {words}")
            stack.pop()
        elif token["sign"]:
            if not words:
                raise ValueError("a directive without a word")
            made = Directive(tuple(words), [] if token["sign"] == "{" else None)
            stack[-1].append(made)
            words = []
            if made.inside is not None:
                stack.append(made.inside)
    if words or len(stack) > 1:
        raise ValueError(f"it ends too early: {words}")
    return stack[0]
