"""What is printed: tables on a terminal, whole tab-separated values in a pipe, JSON when asked."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from math import isfinite
from pathlib import Path
from threading import Timer

import click

COLOURS = {
    **dict.fromkeys(("active", "ok", "held"), "green"),
    "adding": "cyan",
    **dict.fromkeys(("suspended", "maintenance", "not tried", "claimed", "unsure"), "yellow"),
    **dict.fromkeys(("removed", "purging", "wrong", "failed"), "red"),
}

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def on_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def tell(text: str) -> None:
    """Print one line."""
    click.echo(text)


def document(value: object) -> None:
    """Print one JSON document."""
    click.echo(_json(value))


def documents(values: Iterable[object]) -> None:
    """Print one JSON document, a list, value by value as they come."""
    _stream(_pieces(values))


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: as a table on a terminal, else one line a row, values whole and separated by tabs, no titles."""
    if on_terminal():
        lines = [["\n".join(_lines(value)) for value in row] for row in rows]
        import_module("tenantry.cli.rich_paper").table(titles, lines)
        return
    _stream("\t".join(cell(value) for value in row) + "\n" for row in rows)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line; in a pipe a value that is a list is one line each."""
    found = list(pairs)
    if on_terminal():
        import_module("tenantry.cli.rich_paper").facts([(name, _lines(value)) for name, value in found])
        return
    for name, value in found:
        for line in _lines(value):
            click.echo(f"{name}\t{line}")


def box(title: str, lines: Sequence[str]) -> None:
    """Print lines in a box; in a pipe without one."""
    if on_terminal():
        import_module("tenantry.cli.rich_paper").box(title, lines)
        return
    for line in (title, *lines):
        click.echo(line)


@contextmanager
def patience(text: str, seconds: float = 1.5) -> Iterator[None]:
    """Say on a terminal why nothing happens, if what is done takes longer than so many seconds."""
    timer = Timer(seconds, click.echo, [text], {"err": True})
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def progress(steps: int) -> Iterator[Callable[[str], None]]:
    """Show on a terminal, in one line that is gone at the end, which of so many steps has begun; yields who is told."""
    shows, begun = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb", 0

    def told(step: str) -> None:
        nonlocal begun
        begun += 1
        if shows:
            click.echo(f"\r\x1b[K{begun}/{steps}  {step}", err=True, nl=False)

    try:
        yield told
    finally:
        if shows:
            click.echo("\r\x1b[K", err=True, nl=False)


def cell(value: object) -> str:
    """Spell a value on one line: control characters escaped, so that they can neither break a line nor a terminal."""
    if isinstance(value, list | tuple):
        return " ".join(cell(inner) for inner in value)
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    text = json.dumps(value, ensure_ascii=False, default=_plain) if isinstance(value, Mapping) else str(value)
    return text if text.isprintable() else "".join(_escaped(letter) for letter in text)


def size(number: int | None) -> str:
    """Spell a size in bytes for a reader."""
    if number is None:
        return ""
    left = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if left < 1024 or unit == "GiB":
            break
        left /= 1024
    return f"{left:.0f} {unit}" if unit == "bytes" else f"{left:.1f} {unit}"


def _pieces(values: Iterable[object]) -> Iterator[str]:
    between = "[\n  "
    for value in values:
        yield between + _json(value).replace("\n", "\n  ")
        between = ",\n  "
    yield "[]\n" if between.startswith("[") else "\n]\n"


def _stream(pieces: Iterable[str]) -> None:
    """Write text as it comes, a buffer at a time; that its reader has left is noticed here, not when Python ends."""
    if sys.stdout is None:  # it was closed by who started us
        return
    for piece in pieces:
        sys.stdout.write(piece)
    sys.stdout.flush()


def _json(value: object) -> str:
    return json.dumps(_finite(value), indent=2, default=_plain, allow_nan=False)


def _finite(value: object) -> object:
    """Spell the numbers that JSON does not know, which TOML does, as text."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _lines(value: object) -> list[str]:
    """Spell a value for a reader: a list one a line, names and values as such."""
    if isinstance(value, Mapping):
        return [f"{name}: {cell(inner)}" for name, inner in value.items()]
    return [cell(inner) for inner in value] if isinstance(value, list | tuple) else [cell(value)]


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")


def _plain(value: object) -> object:
    if isinstance(value, Path | datetime):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
