"""Run one Flask application per tenant from one process.

Importing `tenantry` imports nothing else: the names below are looked up when they are first used, so that the command
line and a library user pay only for what they touch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tenantry.__about__ import __version__

if TYPE_CHECKING:
    from tenantry.dispatch import PathDispatcher, SubdomainDispatcher

__all__ = ["PathDispatcher", "SubdomainDispatcher", "__version__"]


def __getattr__(name: str) -> Any:
    if name in {"PathDispatcher", "SubdomainDispatcher"}:
        return getattr(import_module("tenantry.dispatch"), name)
    raise AttributeError(f"module 'tenantry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
