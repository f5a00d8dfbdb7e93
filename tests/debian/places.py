"""Where the paths of a machine lie below its folder."""

import re
from pathlib import Path

_PATH = re.compile(r"(?<![\w./-])/(?=(?:etc|run|srv|usr/local|var)/)")


def inside(folder: Path, text: str) -> str:
    """Lead the paths in a text into the folder."""
    return _PATH.sub(f"{folder}/", text)


def outside(folder: Path, text: str) -> str:
    """Spell them again as they are on the machine."""
    return text.replace(f"{folder}/", "/")
