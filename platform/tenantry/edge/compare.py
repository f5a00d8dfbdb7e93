"""What differs between a file as it is installed and as it would be made now, in words and with line numbers.

Comments, blank lines and indents mean nothing to nginx and to systemd, and nothing here. Blocks are told apart by what
they are for: a server that is missing is one difference, wherever it would stand.
"""

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher

_SHOWN = 100
_REMARK = re.compile(r"(?<=[;{}])\s+#.*")


@dataclass(slots=True)
class _Block:
    """A block of the outermost level, or all that stands in none; of each line its number and its words."""

    head: str = ""
    lines: list[tuple[int, str]] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return [words for _, words in self.lines]

    @property
    def name(self) -> str:
        """Say what the block is for."""
        if self.head != "server":
            return self.head
        kind = "https" if self._has("listen", "ssl") else "http"
        if self._has("listen", "default_server"):
            return f"the {kind} server of unknown names"
        names = [words[len("server_name ") : -1] for words in self.words if words.startswith("server_name ")]
        return f"the {kind} server of {_short(' '.join(names)) or 'no name'}"

    def _has(self, directive: str, word: str) -> bool:
        lines = (words.rstrip(";").split() for words in self.words if words.startswith(f"{directive} "))
        return any(word in line for line in lines)


def compare(installed: str, wanted: str) -> tuple[str, ...]:
    """Tell what in an installed file is not as it is wanted, by its lines; nothing if all is."""
    there, should = _named(installed), _named(wanted)
    found: list[str] = []
    for name, block in should.items():
        if name in there:
            found += _within(there[name], block)
        elif name:
            found.append(f"{name} is missing")
        else:
            found += [f"`{_short(words)}` is missing" for words in block.words]
    for name, block in there.items():
        if name not in should:
            lines = [(block.lines[0][0], name)] if name else [(n, f"`{_short(words)}`") for n, words in block.lines]
            found += [f"line {number}: {what} should not be there" for number, what in lines]
    return tuple(found)


def _named(text: str) -> dict[str, _Block]:
    named: dict[str, _Block] = {}
    for block in _blocks(text):
        name, number = block.name, 2
        while name in named:
            name, number = f"{block.name} ({number})", number + 1
        named[name] = block
    return named


def _blocks(text: str) -> list[_Block]:
    """Part a text into its outermost blocks, after what stands in none."""
    loose = _Block()
    blocks = [loose]
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        words = " ".join(_REMARK.sub("", line).split())
        if not words or words.startswith("#"):
            continue
        if depth == 0 and words.endswith("{"):
            blocks.append(_Block(words.removesuffix("{").strip()))
        (blocks[-1] if depth or words.endswith("{") else loose).lines.append((number, words))
        # A block may open and close on one line: only what a line leaves open or closes counts.
        depth = max(0, depth + words.endswith("{") - (words == "}"))
    return blocks if loose.lines else blocks[1:]


def _within(there: _Block, should: _Block) -> list[str]:
    if there.words == should.words:
        return []
    found: list[str] = []
    where = f"{should.name}: " if should.head else ""
    for kind, i, i_end, j, j_end in SequenceMatcher(None, there.words, should.words, autojunk=False).get_opcodes():
        old, new = there.lines[i:i_end], should.words[j:j_end]
        if kind == "replace" and len(old) == len(new):
            pairs = zip(old, new, strict=True)
            found += [f"line {n}: {where}`{_short(was)}` should be `{_short(be)}`" for (n, was), be in pairs]
        elif kind != "equal":
            after = f"after line {there.lines[i - 1][0]}" if i else "at the top"
            found += [f"line {number}: {where}`{_short(was)}` should not be there" for number, was in old]
            found += [f"{after}: {where}`{_short(be)}` is missing" for be in new]
    return found


def _short(text: str) -> str:
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
