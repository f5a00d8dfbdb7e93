"""Commands that take tenants away: remove, which can be undone, and purge, which cannot."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.asking import Consent, Deed, ask, consent_options
from tenantry.cli.choosing import Chosen, choose_gone_too, each, removed_chosen, tenants_chosen
from tenantry.cli.failures import say
from tenantry.cli.place import be, desk, dry_run_option, is_rehearsal
from tenantry.errors import Invalid
from tenantry.tenant import GONE, Status

if TYPE_CHECKING:
    from tenantry.operations import Operations, Restored
    from tenantry.tenant import Tenant

_REMOVE = Deed("remove", "removed", "Visitors of {} will find nothing.")
_PURGE = Deed("purge", "purged", "All data of {} will be gone; this cannot be undone.")


@click.command("remove")
@tenants_chosen
@click.option("--undo", is_flag=True, help="Bring a removed tenant back, with its data.")
@click.option("--override", is_flag=True, help="With --undo: although its name is another's retired one by now.")
@consent_options
@dry_run_option
@click.pass_context
def remove_command(context: click.Context, /, chosen: Chosen, undo: bool, override: bool, consent: Consent) -> None:
    """Take a tenant's addresses away; keep its folder.

    The folder moves to the trash of the instance folder; --undo brings the tenant back with its data and addresses.
    """
    if override and not undo:
        raise Invalid("--override belongs to --undo.")
    with desk(context) as operations:
        if undo:
            tenants = choose_gone_too(operations, chosen, Status.REMOVED)
            each(context, tenants, lambda tenant: _tell_restored(context, operations.undo_remove(tenant.uid, override)))
            return
        tenants = choose_gone_too(operations, chosen)
        ask(context, [tenant for tenant in tenants if tenant.status not in GONE], consent, _REMOVE)
        alone = len(tenants) == 1
        each(context, tenants, lambda tenant: _remove(context, operations, tenant, alone))


def _remove(context: click.Context, operations: "Operations", tenant: "Tenant", alone: bool) -> None:
    name = tenant.name
    with paper.patience(f"Waiting for the last requests of {name} to end, at most half a minute."):
        removed = operations.remove(tenant.uid)
    paper.tell(f"{name} {f'{be(context)} removed' if removed.changed else 'is already removed'}.")
    if removed.trash is not None and alone and not is_rehearsal(context):
        paper.tell(f"  Its folder is kept in {removed.trash}")
        paper.tell(f"  To bring it back: {removed.undo}")


def _tell_restored(context: click.Context, restored: "Restored") -> None:
    paper.tell(f"{restored.tenant.name} {f'{be(context)} back' if restored.changed else 'is not removed'}.")
    for url in restored.urls:
        paper.tell(f"  {url}")
    for url in restored.lost:
        say(f"{url} belongs to another tenant by now and did not come back.")


@click.command("purge")
@removed_chosen
@click.option(
    "--older-than",
    type=click.FloatRange(0, 36500),
    metavar="DAYS",
    help="Only those in the trash for longer than that.",
)
@consent_options
@dry_run_option
@click.pass_context
def purge_command(context: click.Context, /, chosen: Chosen, older_than: float | None, consent: Consent) -> None:
    """Delete removed tenants for good.

    Database, files, config and key: nothing can be brought back. The journal keeps its lines. With --older-than alone,
    all that have been in the trash for so long.
    """
    with desk(context) as operations:
        tenants = _purgeable(operations, chosen, older_than)
        ask(context, [tenant for tenant in tenants if tenant.status in GONE], consent, _PURGE)

        def purge(tenant: "Tenant") -> None:
            done = operations.purge(tenant.uid)
            what = f"{done.files} {'file' if done.files == 1 else 'files'}, {paper.size(done.size)}"
            paper.tell(f"{tenant.name} {be(context)} purged: {what}.")

        each(context, tenants, purge)


def _purgeable(operations: "Operations", chosen: Chosen, older_than: float | None) -> "Sequence[Tenant]":
    if older_than is None:
        return choose_gone_too(operations, chosen, Status.REMOVED)
    old = operations.purgeable(timedelta(days=older_than))
    if chosen.names or chosen.restricted:
        wanted = {tenant.uid for tenant in choose_gone_too(operations, chosen, Status.REMOVED)}
        old = [tenant for tenant in old if tenant.uid in wanted]
    if not old:
        say(f"No tenant was removed more than {older_than:g} days ago: there is nothing to do.")
    return old
