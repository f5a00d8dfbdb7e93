"""What a tenant may be called: one verdict for every verb, and an operator's override, which the journal keeps."""

from collections.abc import Callable
from typing import TypeVar

from tenantry import address
from tenantry.errors import Invalid, Refused

Given = TypeVar("Given")


def give(name: str, override: bool, attempt: Callable[[bool, dict[str, object]], Given]) -> Given:
    """Attempt to give a tenant a name that the rules allow, or that an operator allows against them.

    `attempt` is told whether the registry is to be overridden, and what the journal has to keep of that: the rule. It
    is made a second time only where the registry has refused the first, and of the two at most one is done.
    """
    broken = []
    try:
        address.new_name(name)
    except Invalid as error:
        address.new_name(name, override=override)
        broken.append(error.says)
    try:
        return attempt(False, _kept(broken))
    except Refused as error:
        if not override:
            raise
        broken.append(error.says)
    return attempt(True, _kept(broken))


def _kept(broken: list[str]) -> dict[str, object]:
    return {"override": " ".join(broken)} if broken else {}
