"""What went wrong, as one line on standard error and an exit code."""

import os
import sys
import tempfile
import traceback
from pathlib import Path

import click

from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown

_FAMILIES: tuple[tuple[type[BaseException], int], ...] = (
    (click.UsageError, 2),
    (Invalid, 2),
    (Unknown, 3),
    (Refused, 4),
    (Unavailable, 5),
    (BrokenPipeError, 141),
    (OSError, 5),
    (KeyboardInterrupt, 130),
    (EOFError, 130),
    (click.Abort, 130),
)
FAULT = 70


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error."""
    return next((code for family, code in _FAMILIES if isinstance(error, family)), FAULT)


def report(error: BaseException, *, debug: bool = False) -> int:
    """Say what is so and what to do next, in one line, and return the exit code."""
    code = exit_code(error)
    if isinstance(error, click.UsageError):
        return say_usage(error)
    if debug:
        traceback.print_exception(error)
    if isinstance(error, TenantryError):
        say(str(error))
    elif isinstance(error, BrokenPipeError):
        _hang_up()
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{error.strerror or error}.")
    elif code == 130 and sys.stderr.isatty():
        click.echo(err=True)  # the shell's prompt begins on a line of its own
    elif code == FAULT:
        kept = "" if debug else _kept(error)
        say(f"this is a fault of Tenantry itself, {type(error).__name__}: {error}. {kept}")
    return code


def say_usage(error: click.UsageError) -> int:
    """Say in one line what is wrong with the command line itself."""
    told = error.format_message()
    if error.ctx is not None and "Did you mean" not in told:
        told += f" See `{error.ctx.command_path} --help`."
    say(told)
    return 2


def say(text: str) -> None:
    """Write one line to standard error."""
    click.echo(f"tenantry: {' '.join(text.split())}", err=True)


def _kept(error: BaseException) -> str:
    """Keep the traceback, without the command line that may hold a secret, and say where."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="tenantry-fault-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return "Run it again with --debug to see where."
    return f"The details are in {Path(name)}."


def _hang_up() -> None:
    """Point standard output at nothing, so that Python does not complain on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
