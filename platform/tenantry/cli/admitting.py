"""Commands on whether visitors are let in: suspend, resume, maintenance, restart."""

from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.choosing import Chosen, choose, each, tenants_chosen
from tenantry.cli.place import be, desk, dry_run_option, is_rehearsal
from tenantry.cli.values import seconds
from tenantry.errors import Invalid
from tenantry.tenant import Status

if TYPE_CHECKING:
    from tenantry.operations import Maintained, Maintenance
    from tenantry.tenant import Tenant

_LINK = "Who opens this link may look in; it is shown only now:"


@click.command("suspend")
@tenants_chosen
@click.option("--because", required=True, metavar="REASON", help="Why, for the journal and for `show`.")
@dry_run_option
@click.pass_context
def suspend_command(context: click.Context, /, chosen: Chosen, because: str) -> None:
    """Stop admitting visitors, in every process."""
    with desk(context) as operations:

        def suspend(tenant: "Tenant") -> None:
            done = operations.suspend(tenant.uid, because)
            word = f"{be(context)} suspended" if done.changed else "is already suspended"
            paper.tell(f"{tenant.name} {word}: {paper.cell(done.tenant.reason)}")

        each(context, choose(operations, chosen), suspend)


@click.command("resume")
@tenants_chosen
@dry_run_option
@click.pass_context
def resume_command(context: click.Context, /, chosen: Chosen) -> None:
    """Admit visitors again.

    A tenant that was suspended in a maintenance is in maintenance again.
    """
    with desk(context) as operations:

        def resume(tenant: "Tenant") -> None:
            done = operations.resume(tenant.uid)
            now = "active again" if done.tenant.status is Status.ACTIVE else "in maintenance again, as before"
            paper.tell(f"{tenant.name} {f'{be(context)} {now}' if done.changed else 'is already active'}.")

        each(context, choose(operations, chosen), resume)


@click.command("restart")
@tenants_chosen
@dry_run_option
@click.pass_context
def restart_command(context: click.Context, /, chosen: Chosen) -> None:
    """Build the application anew; the old one answers until then.

    For a change that Tenantry cannot see, such as one in a file that the application reads. Code that is loaded stays
    loaded until the server is started anew.
    """
    with desk(context) as operations:

        def restart(tenant: "Tenant") -> None:
            operations.restart(tenant.uid)
            paper.tell(f"{tenant.name} {be(context)} built anew.")

        each(context, choose(operations, chosen), restart)


@click.command("maintenance")
@tenants_chosen
@click.argument("state", metavar="on|off", type=click.Choice(["on", "off"]))
@click.option("--message", default=None, metavar="TEXT", help="What visitors read.")
@click.option("--retry-after", metavar="TIME", help="When they should try again: 600, 10m or 2h. Default: 10m.")
@click.option("--new-link", is_flag=True, help="Make a new link for looking in; older ones end.")
@dry_run_option
@click.pass_context
def maintenance_command(context: click.Context, /, chosen: Chosen, state: str, **given: str | bool | None) -> None:
    """Tell visitors to come back later, or end that.

    They get 503. `on` prints, once, a link by which the tenant's owner may look in all the same.
    """
    if state == "off" and any(given.values()):
        raise Invalid("--message, --retry-after and --new-link belong to `on`.")
    wanted = _wanted(given)
    with desk(context) as operations:

        def act(tenant: "Tenant") -> None:
            if state == "on":
                _tell(context, operations.maintenance_on(tenant.uid, wanted))
                return
            done = operations.maintenance_off(tenant.uid)
            word = f"{be(context)} active again" if done.changed else "is not in maintenance"
            paper.tell(f"{tenant.name} {word}.")

        each(context, choose(operations, chosen), act)


def _wanted(given: dict[str, str | bool | None]) -> "Maintenance":
    from tenantry.operations import Maintenance

    typed = {key: value for key, value in given.items() if value is not None}
    if "retry_after" in typed:
        return Maintenance(**{**typed, "retry_after": seconds(str(typed["retry_after"]))})  # type: ignore[arg-type]
    return Maintenance(**typed)  # type: ignore[arg-type]


def _tell(context: click.Context, done: "Maintained") -> None:
    word = f"{be(context)} in maintenance" if done.changed else "is already in maintenance"
    paper.tell(f"{done.tenant.name} {word}.")
    if done.link and not is_rehearsal(context):
        paper.tell(f"  {_LINK} {done.link}")
