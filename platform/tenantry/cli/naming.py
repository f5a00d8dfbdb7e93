"""Commands on what a tenant is called and where it is found: rename, domain."""

from datetime import timedelta

import click

from tenantry.cli import paper
from tenantry.cli.completing import tenant_names
from tenantry.cli.group import Commands
from tenantry.cli.place import be, desk, dry_run_option, is_rehearsal

name_argument = click.argument("name", shell_complete=tenant_names)
override_option = click.option(
    "--override", is_flag=True, help="Allow a name that is reserved, retired or like another's; the journal says so."
)


@click.command("rename")
@name_argument
@click.argument("new")
@click.option(
    "--grace",
    type=click.FloatRange(0, 3650),
    metavar="DAYS",
    help="How long the old name leads to the new one; see TENANTRY_GRACE_DAYS.",
)
@override_option
@dry_run_option
@click.pass_context
def rename_command(context: click.Context, /, name: str, new: str, grace: float | None, override: bool) -> None:
    """Give a tenant another name; the old one leads there.

    Its folder, key, config and data stay as they are. The old addresses answer 308 until the grace ends.
    """
    with desk(context) as operations:
        days = None if grace is None else timedelta(days=grace)
        done = operations.rename(name, new, days, override)
    if not done.changed:
        paper.tell(f"{name} is called that already.")
        return
    paper.tell(f"{name} {be(context)} renamed to {done.tenant.name}.")
    for url in done.urls:
        paper.tell(f"  {url}")
    if done.until:
        paper.tell(f"  The old name leads there until {done.until[:10]}.")


@click.group("domain", cls=Commands, invoke_without_command=True)
@click.pass_context
def domain_command(context: click.Context) -> None:
    """Give a tenant domains of its own."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@domain_command.command("add")
@name_argument
@click.argument("domain")
@click.option("--primary", is_flag=True, help="Send visitors of its other domains to this one.")
@dry_run_option
@click.pass_context
def add_command(context: click.Context, /, name: str, domain: str, primary: bool) -> None:
    """Answer at a domain."""
    from tenantry import address

    with desk(context) as operations:
        done = operations.domain_add(name, domain, primary)
    kept = address.domain(domain)
    what = "the primary domain" if done.tenant.domain == kept else "a domain"
    paper.tell(f"{kept} {be(context) if done.changed else 'is already'} {what} of {done.tenant.name}.")


@domain_command.command("remove")
@name_argument
@click.argument("domain")
@dry_run_option
@click.pass_context
def remove_command(context: click.Context, /, name: str, domain: str) -> None:
    """Answer at a domain no more."""
    from tenantry import address

    with desk(context) as operations:
        done = operations.domain_remove(name, domain)
    word = "would no longer be" if is_rehearsal(context) else "is no longer"
    paper.tell(f"{address.domain(domain)} {word} a domain of {done.tenant.name}.")
    if done.tenant.domain:
        paper.tell(f"  Its primary one {be(context)} {done.tenant.domain}.")


@domain_command.command("list")
@name_argument
@paper.json_option
@click.pass_context
def list_command(context: click.Context, /, name: str, as_json: bool) -> None:
    """List the domains of a tenant, the primary one first."""
    with desk(context) as operations:
        found = sorted(operations.domain_list(name), key=lambda one: not one.primary)
    if as_json:
        paper.document([{"domain": one.domain, "primary": one.primary, "url": one.url} for one in found])
        return
    if not found and paper.on_terminal():
        paper.tell(f"{name} has no domain of its own: `tenantry domain add {name} DOMAIN` gives it one.")
    paper.table(("domain", "kind", "url"), [(one.domain, "primary" * one.primary, one.url) for one in found])
