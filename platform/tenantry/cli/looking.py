"""Commands that look at tenants: list, show, path."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from tenantry.cli import paper
from tenantry.cli.choosing import Chosen, tenants_chosen
from tenantry.cli.completing import tenant_names
from tenantry.cli.failures import say
from tenantry.cli.place import command_line, desk, place
from tenantry.cli.spelling import shown_document, shown_facts, tenant_document

if TYPE_CHECKING:
    from tenantry.operations import Listed, Listing, Operations, Selection

name_argument = click.argument("name", shell_complete=tenant_names)

# On a terminal nobody reads more at a time.
_SCREEN = 100
_PAGE = 1000
# A uid has letters and digits, so this comes behind all of one name.
_BEHIND = "~"
_TITLES = ("name", "status", "application", "addresses", "title")


@click.command("list")
@tenants_chosen
@click.option("--removed", is_flag=True, help="Also those that were removed.")
@click.option("--limit", "-n", metavar="N", type=click.IntRange(min=1), help="So many at most; on a terminal 100.")
@click.option("--after", metavar="NAME", default="", help="Only those whose names come after this one.")
@paper.json_option
@click.pass_context
def list_command(context: click.Context, /, chosen: Chosen, as_json: bool, **given: Any) -> None:
    """List tenants by name; on a terminal the first 100."""
    on_screen = paper.on_terminal() and not as_json
    with desk(context) as operations:
        wanted = chosen.selection(removed=given["removed"])
        pages = _pages(operations, wanted, given["after"], given["limit"] or (_SCREEN if on_screen else None))
        if as_json:
            paper.documents(tenant_document(one.tenant, one.urls) for page in pages for one in page.tenants)
        elif on_screen:
            _show(context, list(pages), lambda: operations.count(wanted))
        else:
            paper.table(_TITLES, (_row(one) for page in pages for one in page.tenants))


def _pages(operations: "Operations", wanted: "Selection", after: str, limit: int | None) -> "Iterator[Listing]":
    """Read the list page by page, each when it is asked for: the first is there at once, however many there are."""
    at: tuple[str, str] | None = (after, _BEHIND) if after else ("", "")
    while at is not None and limit != 0:
        listing = operations.list(wanted, at, _PAGE if limit is None else min(_PAGE, limit))
        for row in listing.unreadable:
            say(f"A row of the registry makes no sense: {row} See `tenantry doctor`.")
        yield listing
        at = listing.after
        if limit is not None:
            limit -= len(listing.tenants)


def _show(context: click.Context, pages: "Sequence[Listing]", count: Callable[[], int]) -> None:
    """Print what fits a screen, and how to go on."""
    found = [listed for page in pages for listed in page.tenants]
    given = _given(context)
    if not found:
        paper.tell("No tenant is like that." if given else "There are no tenants yet: `tenantry add NAME` adds one.")
        return
    paper.table(_TITLES, [_row(listed) for listed in found])
    if pages[-1].after is not None:
        words = shlex.join(["list", *given, "--after", found[-1].tenant.name])
        click.echo(f"{len(found)} of {count()}; the next: {command_line(place(context))} {words}", err=True)


def _given(context: click.Context) -> list[str]:
    """Spell once more what restricts the list."""
    given = context.params
    words = [*given["names"], *["--removed"] * given["removed"]]
    for option in ("status", "application", "limit"):
        words += [f"--{option}", str(given[option])] if given[option] else []
    return words


def _row(listed: "Listed") -> tuple[object, ...]:
    tenant = listed.tenant
    return tenant.name, tenant.status.value, tenant.application, listed.urls, tenant.title


@click.command("show")
@name_argument
@paper.json_option
@click.pass_context
def show_command(context: click.Context, /, name: str, as_json: bool) -> None:
    """Show everything about a tenant, and what is wrong."""
    with desk(context) as operations:
        shown = operations.show(name)
    if as_json:
        paper.document(shown_document(shown))
        return
    paper.facts(shown_facts(shown))


@click.command("path")
@name_argument
@paper.json_option
@click.pass_context
def path_command(context: click.Context, /, name: str, as_json: bool) -> None:
    """Print the folder of a tenant."""
    with desk(context) as operations:
        path = operations.path(name)
    if as_json:
        paper.document({"name": name, "path": path})
    else:
        paper.tell(str(path))
