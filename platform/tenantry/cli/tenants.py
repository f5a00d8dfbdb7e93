"""Commands on tenants: add, list, show, path, suspend, resume, remove."""

import sys
from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.failures import say
from tenantry.cli.place import desk, tenant_names
from tenantry.cli.spelling import shown_document, shown_facts, tenant_document
from tenantry.cli.values import assignments
from tenantry.errors import Refused

if TYPE_CHECKING:
    from tenantry.operations import Removed

name_argument = click.argument("name", shell_complete=tenant_names)


@click.command("add")
@click.argument("name")
@click.option("--title", default="", help="What the tenant is called in lists.")
@click.option("--application", default="", help="A folder of tenants/, or any module:factory.")
@click.option("--path", is_flag=True, help="Also answer below /t/NAME/ of the base domain.")
@click.option("--domain", "domains", multiple=True, metavar="D", help="Also answer at this domain; may be repeated.")
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="A value of its config; may be repeated.")
@paper.json_option
@click.pass_context
def add_command(context: click.Context, /, name: str, as_json: bool, values: tuple[str, ...], **given: object) -> None:
    """Add a tenant; it answers as soon as this ends."""
    from tenantry.operations import NewTenant

    new = NewTenant(name=name, config=assignments(values), **given)  # type: ignore[arg-type]
    with desk(context) as operations:
        added = operations.add(new)
    if added.warning:
        say(added.warning)
    if as_json:
        paper.document(
            {
                **tenant_document(added.tenant, added.urls),
                "owner_link": added.owner_link,
                "warning": added.warning or None,
            }
        )
        return
    paper.tell(f"{added.tenant.name} is added.")
    for url in added.urls:
        paper.tell(f"  {url}")
    if added.owner_link:
        paper.tell(f"Its owner signs up here, once: {added.owner_link}")


@click.command("list")
@click.option("--removed", is_flag=True, help="Also those that were removed.")
@paper.json_option
@click.pass_context
def list_command(context: click.Context, /, removed: bool, as_json: bool) -> None:
    """List all tenants."""
    with desk(context) as operations:
        listing = operations.list(removed=removed)
    for row in listing.unreadable:
        say(f"A row of the registry makes no sense: {row} See `tenantry doctor`.")
    if as_json:
        paper.document([tenant_document(listed.tenant, listed.urls) for listed in listing.tenants])
        return
    if paper.on_terminal() and not listing.tenants:
        paper.tell("There are no tenants yet: `tenantry add NAME` adds one.")
    paper.table(
        ("name", "status", "application", "addresses", "title"),
        [
            (
                listed.tenant.name,
                listed.tenant.status.value,
                listed.tenant.application,
                listed.urls,
                listed.tenant.title,
            )
            for listed in listing.tenants
        ],
    )


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


@click.command("suspend")
@name_argument
@click.option("--because", required=True, metavar="REASON", help="Why, for the journal and for `show`.")
@click.pass_context
def suspend_command(context: click.Context, /, name: str, because: str) -> None:
    """Stop admitting visitors, in every process."""
    with desk(context) as operations:
        done = operations.suspend(name, because)
    word = "suspended" if done.changed else "already suspended"
    paper.tell(f"{name} is {word}: {paper.cell(done.tenant.reason)}")


@click.command("resume")
@name_argument
@click.pass_context
def resume_command(context: click.Context, /, name: str) -> None:
    """Admit visitors again."""
    with desk(context) as operations:
        done = operations.resume(name)
    paper.tell(f"{name} is {'active again' if done.changed else 'already active'}.")


@click.command("remove")
@name_argument
@click.option("--undo", is_flag=True, help="Bring a removed tenant back, with its data.")
@paper.yes_option
@click.pass_context
def remove_command(context: click.Context, /, name: str, undo: bool, yes: bool) -> None:
    """Take a tenant's addresses away; keep its folder.

    The folder moves to the trash of the instance folder; --undo brings the tenant back with its data and addresses.
    """
    with desk(context) as operations:
        if undo:
            restored = operations.undo_remove(name)
            paper.tell(f"{name} is {'back' if restored.changed else 'not removed'}.")
            for url in restored.urls:
                paper.tell(f"  {url}")
            for url in restored.lost:
                say(f"{url} belongs to another tenant by now and did not come back.")
            return
        if not yes and operations.get(name).status != "removed":
            _ask(name)
        with paper.patience(f"Waiting for the last requests of {name} to end, at most half a minute."):
            removed = operations.remove(name)
        _tell_removed(name, removed)


def _ask(name: str) -> None:
    """Let the operator type the name, or refuse where nobody can."""
    if not sys.stdin.isatty():
        raise Refused(f"{name} was not removed: nobody can be asked here.", hint="Add --yes if you are sure.")
    question = f"Visitors of {name} will find nothing. Type its name to remove it"
    typed = str(click.prompt(question, err=True, default="", show_default=False))
    if typed.strip() != name:
        raise Refused(f"{name} was not removed: that was not its name.")


def _tell_removed(name: str, removed: "Removed") -> None:
    paper.tell(f"{name} is {'removed' if removed.changed else 'already removed'}.")
    if removed.trash is not None:
        paper.tell(f"  Its folder is kept in {removed.trash}")
        paper.tell(f"  To bring it back: {removed.undo}")
