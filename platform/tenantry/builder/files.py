"""Read a tenant's two config files: whole or not at all, and what is wrong is told with file and line."""

import io
import tomllib
from pathlib import Path

from dotenv.parser import parse_stream

from tenantry.errors import Invalid, Unavailable

_MEND = "Mend it with an editor."


def read_toml(path: Path) -> dict[str, object]:
    """Read a `config.toml`, a missing one as empty; raise Invalid with the line that breaks it."""
    try:
        return tomllib.loads(text(path))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{path} is broken: {error}.", hint=_MEND) from error


def read_env(path: Path) -> dict[str, str]:
    """Read a `.env`, a missing one as empty, nothing in it expanded; raise Invalid with the broken line."""
    found = {}
    for binding in parse_stream(io.StringIO(text(path))):
        if binding.error:
            said = binding.original.string
            line = binding.original.line + said[: len(said) - len(said.lstrip())].count("\n")
            raise Invalid(f"{path} is broken at line {line}: a line is KEY='value'.", hint=_MEND)
        if binding.key is not None:
            found[binding.key] = binding.value or ""
    return found


def text(path: Path) -> str:
    """Read a file's text, a missing one as empty; raise Invalid where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is broken: it is not UTF-8.", hint=_MEND) from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}.", hint="See tenantry doctor.") from error
