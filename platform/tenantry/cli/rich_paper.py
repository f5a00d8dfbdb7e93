"""Tables and boxes on a terminal: the only file that imports rich, itself imported only there."""

from collections.abc import Sequence

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tenantry.cli.paper import COLOURS


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table without its empty columns; a cell that does not fit is folded, never cut."""
    full = [index for index in range(len(titles)) if any(row[index] for row in rows)]
    if not full:
        return
    made = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for index in full:
        made.add_column(titles[index], overflow="fold")
    for row in rows:
        made.add_row(*(Text(row[index], style=COLOURS.get(row[index], "")) for index in full))
    Console(highlight=False).print(made)


def facts(pairs: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print names and values in two columns."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, lines in pairs:
        for index, line in enumerate(lines):
            made.add_row("" if index else name, Text(line, style=COLOURS.get(line, "")))
    Console(highlight=False).print(made)


def box(title: str, lines: Sequence[str]) -> None:
    """Print lines in a box."""
    Console(highlight=False).print(Panel.fit(Text("\n".join(lines)), title=Text(title), box=ROUNDED, padding=(1, 2)))
