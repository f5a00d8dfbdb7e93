"""Read a tenant's two config files: whole or not at all, and what is wrong is told with file and line."""

import io
import tomllib
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from tenantry.errors import Invalid, Unavailable

_MEND = "Mend it with an editor."


def read_toml(path: Path) -> dict[str, object]:
    """Read a `config.toml`, a missing one as empty; raise Invalid with the line that breaks it."""
    return parse_toml(text(path), str(path))


def parse_toml(content: str, what: str) -> dict[str, object]:
    """Read the text of a `config.toml`; `what` names it where it is broken."""
    try:
        return tomllib.loads(content)
    except RecursionError as error:
        raise Invalid(f"{what} is broken: its values are nested too deeply.", hint=_MEND) from error
    except ValueError as error:  # of TOML itself, or of a number that Python will not read
        last = content.rstrip().count("\n") + 1
        says = str(error).replace("at end of document", f"at line {last}, the last")
        raise Invalid(f"{what} is broken: {says}.", hint=_MEND) from error


def read_env(path: Path) -> dict[str, str]:
    """Read a `.env`, a missing one as empty, nothing in it expanded; raise Invalid with the broken line."""
    return parse_env(text(path), str(path))


def parse_env(content: str, what: str) -> dict[str, str]:
    """Read the text of a `.env`; `what` names it where it is broken."""
    found = {}
    for binding in parse_stream(io.StringIO(content)):
        if binding.error:
            raise Invalid(f"{what} is broken at line {line(binding)}: a line is KEY='value'.", hint=_MEND)
        if binding.key is not None:
            found[binding.key] = binding.value or ""
    return found


def line(binding: Binding) -> int:
    """Return the number of the line on which an assignment of a `.env` begins."""
    said = binding.original.string
    return binding.original.line + said[: len(said) - len(said.lstrip())].count("\n")


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
