"""Which tenants a command is for, NAME... and the selectors, and doing the same to each of them."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tenantry.cli.completing import applications, removed_names, tenant_names
from tenantry.cli.failures import say
from tenantry.errors import Invalid, TenantryError
from tenantry.tenant import Status

if TYPE_CHECKING:
    from tenantry.operations import Operations, Selection
    from tenantry.tenant import Tenant

status_option = click.option(
    "--status",
    metavar="S",
    type=click.Choice([status.value for status in Status]),
    help="Only those of this status; without NAME all of them.",
)
application_option = click.option(
    "--application",
    default="",
    metavar="A",
    shell_complete=applications,
    help="Only those of this application; without NAME all of them.",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was typed: names, each of which may be a glob, and what restricts them; what is empty does not."""

    names: tuple[str, ...]
    status: str | None
    application: str

    @property
    def restricted(self) -> bool:
        """Tell whether a selector was given."""
        return bool(self.status or self.application)

    def see_some(self) -> None:
        """Raise Invalid where nothing was typed."""
        if not self.names and not self.restricted:
            raise Invalid("No tenant is given.", hint="Give names, globs such as 'shop-*', --status or --application.")

    def selection(self, status: Status | None = None, *, removed: bool = False) -> "Selection":
        """Spell it for the desk; where no status was typed, this one is meant."""
        from tenantry.operations import Selection

        return Selection(self.names, Status(self.status) if self.status else status, self.application, removed)


def tenants_chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command NAME..., --status and --application, which it gets as one `chosen`."""
    return _chosen(command, tenant_names)


def removed_chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Do the same for a command on removed tenants."""
    return _chosen(command, removed_names)


def _chosen(command: Callable[..., None], complete: Callable[..., list[str]]) -> Callable[..., None]:
    @functools.wraps(command)
    def inner(*args: Any, names: tuple[str, ...], status: str | None, application: str, **given: Any) -> None:
        command(*args, chosen=Chosen(names, status, application), **given)

    inner.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\nA NAME may be a glob, such as 'shop-*'."
    names = click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete)
    return names(status_option(application_option(inner)))


def choose(operations: "Operations", chosen: Chosen) -> "Sequence[Tenant]":
    """Return the standing tenants that are meant; Unknown for a name that is nobody's, before anything is done."""
    chosen.see_some()
    return _found(operations.select(chosen.selection()))


def choose_gone_too(operations: "Operations", chosen: Chosen, status: Status | None = None) -> "Sequence[Tenant]":
    """Return the tenants that are meant, where a name may also be that of a removed one.

    A name is that of the standing tenant, if there is one: what is wrong with that is for the verb to say. Globs and
    selectors mean those of `status`, without it all that stand.
    """
    chosen.see_some()
    return _found(operations.select(chosen.selection(removed=True), chosen.selection(status)))


def _found(tenants: "Sequence[Tenant]") -> "Sequence[Tenant]":
    if not tenants:
        say("No tenant is like that: there is nothing to do.")
    return tenants


def each(context: click.Context, tenants: "Sequence[Tenant]", act: "Callable[[Tenant], None]") -> None:
    """Do it to each in order; of several, one that fails is a line on standard error, and the others go on.

    What is done is done to a uid: a name may be another tenant's as well, or by now.
    """
    if len(tenants) == 1:
        act(tenants[0])
        return
    failed = 0
    for number, tenant in enumerate(tenants):
        try:
            act(tenant)
        except TenantryError as error:
            failed += 1
            say(str(error) if tenant.name in error.says else f"{tenant.name}: {error}")
        except KeyboardInterrupt:
            say(f"Stopped at {tenant.name}; {number} of {len(tenants)} were done before it, and none after it.")
            raise
    if failed:
        say(f"{failed} of {len(tenants)} failed.")
        context.exit(1)
