"""What a tenant may be called: one verdict for every verb, and an operator's override, which the journal keeps."""

from collections.abc import Callable
from typing import TypeVar

from tenantry import address
from tenantry.errors import Invalid, Refused

Given = TypeVar("Given")


def give(name: str, override: bool, attempt: Callable[[bool, dict[str, object]], Given]) -> Given:
    """Attempt to give a tenant a name that the rules allow, or that an operator allows against them."""
    return overriding(override, attempt, allowed(name, override))


def allowed(name: str, override: bool) -> str:
    """Raise Invalid for a name that none can have; return the rule that one breaks which an operator overrides."""
    try:
        address.new_name(name)
    except Invalid as error:
        address.new_name(name, override=override)
        return error.says
    return ""


def overriding(override: bool, attempt: Callable[[bool, dict[str, object]], Given], broken: str = "") -> Given:
    """Attempt what the registry may refuse, and once more against its rules where an operator insists.

    `attempt` is told whether the registry is to be overridden, and what the journal has to keep of that: the rules that
    are `broken`. It is made a second time only where that may help, and of the two at most one is done.
    """
    try:
        return attempt(False, _kept(broken))
    except Refused as error:
        if not (override and error.overridable):
            raise
        return attempt(True, _kept(f"{broken} {error.says}".lstrip()))


def _kept(broken: str) -> dict[str, object]:
    return {"override": broken} if broken else {}
