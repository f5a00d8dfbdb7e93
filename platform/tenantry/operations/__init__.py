"""The operator's verbs, each crash-safe and one journal line; who asks, a terminal or a browser, is not known here."""

from tenantry.operations.facts import (
    Added,
    Changed,
    Desk,
    Listed,
    Listing,
    Mended,
    NewTenant,
    Removed,
    Restored,
    Schema,
    Shown,
    Value,
)
from tenantry.operations.operations import Operations
from tenantry.registry import Entry

__all__ = [
    "Added",
    "Changed",
    "Desk",
    "Entry",
    "Listed",
    "Listing",
    "Mended",
    "NewTenant",
    "Operations",
    "Removed",
    "Restored",
    "Schema",
    "Shown",
    "Value",
]
