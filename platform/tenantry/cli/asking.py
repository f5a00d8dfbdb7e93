"""Asking before what destroys: one tenant by its name, a few by their number, many only with `--yes-delete`."""

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tenantry.cli.failures import say
from tenantry.cli.place import is_rehearsal
from tenantry.errors import Refused

if TYPE_CHECKING:
    from tenantry.tenant import Tenant

# With more tenants at once a yes is too easily said: their exact number is asked for, on a terminal too.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Consent:
    """What the operator has said beforehand: yes, or to how many tenants."""

    yes: bool
    number: int | None


@dataclass(frozen=True, slots=True)
class Deed:
    """What is about to be done, in the words of the question; `means` is what it means to those that {} names."""

    verb: str
    done: str
    means: str


def consent_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --yes and --yes-delete, both of which it gets as one `consent`."""

    @functools.wraps(command)
    def inner(*args: Any, yes: bool, yes_delete: int | None, **given: Any) -> None:
        command(*args, consent=Consent(yes, yes_delete), **given)

    yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    number = click.option(
        "--yes-delete",
        metavar="N",
        type=click.IntRange(min=1),
        help="Do not ask; needed for more than 3 tenants at once, with their exact number.",
    )
    return yes(number(inner))


def ask(context: click.Context, tenants: "Sequence[Tenant]", consent: Consent, deed: Deed) -> None:
    """Return once the operator consents to the deed; raise Refused if they do not, or nobody can be asked."""
    count = len(tenants)
    if is_rehearsal(context):
        if count > _FEW:
            say(f"{_selected(count)}: without --dry-run that needs --yes-delete {count}.")
        return
    if not count or consent.number == count:
        return
    if consent.number is not None:
        raise Refused(
            f"{_selected(count)}, not {consent.number}; none was {deed.done}.", hint="--dry-run shows which they are."
        )
    if count > _FEW:
        raise Refused(
            f"{_selected(count)} and none was {deed.done}: more than {_FEW} at once need their exact number.",
            hint=f"Add --yes-delete {count} if you are sure; --dry-run shows which they are.",
        )
    if consent.yes:
        return
    named = ", ".join(tenant.name for tenant in tenants)
    was = f"{named} {'was' if count == 1 else 'were'} not {deed.done}"
    if not sys.stdin.isatty():
        raise Refused(f"{was}: nobody can be asked here.", hint="Add --yes if you are sure.")
    what, answer = ("its name to {} it", named) if count == 1 else ("how many these are to {} them", str(count))
    question = f"{deed.means.format(named)} Type {what.format(deed.verb)}"
    typed = str(click.prompt(question, err=True, default="", show_default=False))
    if typed.strip() != answer:
        raise Refused(f"{was}: that was not {'its name' if count == 1 else 'their number'}.")


def _selected(count: int) -> str:
    return "1 tenant was selected" if count == 1 else f"{count} tenants were selected"
