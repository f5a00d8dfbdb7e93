"""Where a command works: the root, the desk that is opened there, and how the command itself is spelled.

A rehearsal (`--dry-run`) is opened here too: its desk checks and answers everything and writes nothing, so that a
command differs only in what it says: `be` spells the "is" of a change.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tenantry.operations import Operations


_DRY_RUN = "tenantry.dry_run"


def _remember(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    context.meta[_DRY_RUN] = wanted


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Say what would be done, and write nothing.",
)


@dataclass(frozen=True, slots=True)
class Place:
    """The root and the settings that the command line gives, typed, by field name."""

    root: Path
    overrides: dict[str, object] = field(default_factory=dict)


def place(context: click.Context, **overrides: object) -> Place:
    """Return where this command works; `overrides` that are None were not given."""
    given: dict[str, object] = {key: value for key, value in overrides.items() if value is not None}
    options = _options(context)
    instance = given.get("instance") or options.get("instance")
    if instance is not None:
        # On a command line a path is relative to the folder in which it is typed, not to the root.
        given["instance"] = Path.cwd() / Path(str(instance)).expanduser()
    named = options.get("root")
    root = Path.cwd() / Path(str(named)).expanduser() if named else find_root(Path.cwd())
    if not root.is_dir():
        raise click.UsageError(f"--root {root} is not a folder.", context)
    return Place(root, given)


def find_root(here: Path) -> Path:
    """Return the nearest checkout or working folder at or above `here`, else the package's own, else `here`.

    A checkout has serve.py and platform/; a working folder has an instance/ that was served from, or an .env with a
    setting of the platform. A mere .env or instance/ is not enough: other programs have those too.
    """
    for folder in (here, *here.parents):
        if _is_checkout(folder) or (folder / "instance" / "registry.sqlite3").is_file() or _has_settings(folder):
            return folder
    own = Path(__file__).resolve().parents[3]
    return own if _is_checkout(own) else here


@contextmanager
def desk(context: click.Context, *, make: bool = False, mends: bool = True) -> "Iterator[Operations]":
    """Open the operator's desk for one command; only what adds a tenant makes an instance folder."""
    from tenantry.assembly.desk import open_operations

    where, dry_run = place(context), is_rehearsal(context)
    with open_operations(where.root, where.overrides, make=make, mends=mends, dry_run=dry_run) as operations:
        yield operations


def is_rehearsal(context: click.Context) -> bool:
    """Tell whether nothing is to be written."""
    return bool(context.meta.get(_DRY_RUN))


def be(context: click.Context) -> str:
    """Spell the verb of a change that was made, or would be: acme *is* suspended."""
    return "would be" if is_rehearsal(context) else "is"


def command_line(where: Place) -> str:
    """Spell the command as it must be typed here: its name if the shell finds this one, else its path, and options."""
    words = [_spelled(where.root)]
    if find_root(Path.cwd()) != where.root:
        words += ["--root", str(where.root)]
    if "instance" in where.overrides:
        words += ["--instance", str(where.overrides["instance"])]
    return " ".join(words)


def _spelled(root: Path) -> str:
    own = Path(sys.executable).parent / "tenantry"
    found = shutil.which("tenantry")
    if found and (not own.exists() or Path(found).samefile(own)):
        return "tenantry"
    for script in (root / ".venv" / "bin" / "tenantry", own):
        if script.exists():
            near = os.path.relpath(script)
            return near if not near.startswith(os.pardir) else str(script)
    return f"{sys.executable} -m tenantry"


def _options(context: click.Context) -> dict[str, object]:
    """Return the options of the group, wherever it hangs: `tenantry …` or `flask tenants …`."""
    above: click.Context | None = context
    while above is not None:
        if {"root", "debug"} <= above.params.keys():
            return above.params
        above = above.parent
    return {}


def _is_checkout(folder: Path) -> bool:
    return (folder / "serve.py").is_file() and (folder / "platform").is_dir()


def _has_settings(folder: Path) -> bool:
    try:
        return any(line.lstrip().startswith("TENANTRY_") for line in (folder / ".env").read_text().splitlines())
    except (OSError, UnicodeDecodeError):
        return False
