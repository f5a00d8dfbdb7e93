"""What a page holds: code blocks, headings, links, tables."""

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"```(?P<info>.*)")
_INFO = re.compile(r'(?P<language>[a-z]+)(?: title="(?P<title>[^"]+)")?')
_HEADING = re.compile(r"#{1,6} +(?P<title>.+)")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `title` names the file that its reader shall write, `line` is that of its first fence."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page in order; AssertionError for code that stands in no fence that can be read."""
    found: list[Block] = []
    inside: list[str] | None = None
    begun, language, title = 0, "", ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if fence is None:
            assert inside is not None or not line.startswith(("    ", "~~~", " ```")), f"{page.name}:{number} {line!r}"
            if inside is not None:
                inside.append(line)
        elif inside is None:
            info = _INFO.fullmatch(fence["info"])
            assert info is not None, f"{page.name}:{number} says not how to run it: {line!r}"
            inside, begun, language, title = [], number, info["language"], info["title"] or ""
        else:
            found.append(Block(page.name, begun, language, title, "".join(f"{text}\n" for text in inside)))
            inside = None
    assert inside is None, f"{page.name}:{begun} is not closed"
    return found


def prose(page: Path) -> str:
    """Return a page without its code blocks, line for line."""
    kept: list[str] = []
    inside = False
    for line in page.read_text("utf-8").splitlines():
        fence = line.startswith("```")
        kept.append("" if fence or inside else line)
        inside ^= fence
    return "\n".join(kept)


def headings(page: Path) -> dict[str, str]:
    """Return the headings of a page by their anchors, as code hosts spell them."""
    titles = [found["title"] for line in prose(page).splitlines() if (found := _HEADING.fullmatch(line))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): title for title in titles}


def links(page: Path) -> list[str]:
    """Return the targets of all links and images of a page."""
    return [found["target"] for found in _LINK.finditer(prose(page))]


def section(page: Path, title: str) -> str:
    """Return what stands below a heading, up to the next heading of any level; AssertionError where there is none."""
    lines = prose(page).splitlines()
    begin = [number for number, line in enumerate(lines) if line.lstrip("#").strip() == title and line.startswith("#")]
    assert len(begin) == 1, f"{page.name} has {len(begin)} headings {title!r}"
    rest = lines[begin[0] + 1 :]
    end = next((number for number, line in enumerate(rest) if _HEADING.fullmatch(line)), len(rest))
    return "\n".join(rest[:end])


def rows(text: str) -> list[tuple[str, ...]]:
    """Return the rows of the tables in a text, without those that stand above and in the line below titles."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("|") and not line.startswith("|--") and not following.startswith("|--"):
            found.append(tuple(re.sub(r"\\([|<])", r"\1", cell.strip()) for cell in _BAR.split(line)[1:-1]))
    return found
