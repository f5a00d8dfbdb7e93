"""The command that reads the journal: who did what to which tenant."""

from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.completing import tenant_names
from tenantry.cli.place import desk
from tenantry.cli.spelling import changes, entry_document, remarks

if TYPE_CHECKING:
    from tenantry.operations import Entry


@click.command("journal")
@click.argument("name", required=False, shell_complete=tenant_names)
@click.option("--verb", metavar="V", default="", help="Only this verb, such as suspend or 'config set'.")
@click.option("--who", metavar="W", default="", help="Only what this operating system's user did.")
@click.option(
    "--since", metavar="WHEN", default="", help="Only later ones: a revision, 1234, or UTC, 2026-11-01T08:30."
)
@click.option("--limit", "-n", type=click.IntRange(1, 100000), default=100, show_default=True, help="Lines at most.")
@paper.json_option
@click.pass_context
def journal_command(context: click.Context, /, name: str | None, as_json: bool, **search: str | int) -> None:
    """Show who did what, newest first.

    With NAME, what was done to that tenant, removed or not. The order is that of revisions, whatever the clock said.
    """
    from tenantry.operations import Search

    with desk(context) as operations:
        entries = operations.journal(name, Search(**search))  # type: ignore[arg-type]
    if as_json:
        paper.documents(entry_document(entry) for entry in entries)
        return
    paper.table(
        ("at", "who", "verb", "tenant", "detail", "change", "revision"),
        [
            (one.at, one.who, one.verb, one.name, remarks(one) or "", _changes(one), one.revision or "")
            for one in entries
        ],
    )


def _changes(entry: "Entry") -> list[str] | str:
    return changes(entry) if paper.on_terminal() else "; ".join(changes(entry))
