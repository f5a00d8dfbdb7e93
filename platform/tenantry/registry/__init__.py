"""The book: tenants, their addresses and claims, and the journal of all changes, in one SQLite file.

A change, its revision and its journal line commit together or not at all. Any number of processes read and write the
same file; a `Watch` tells them cheaply that somebody has written, `Registry.changes` tells what.
"""

from tenantry.registry.book import Registry
from tenantry.registry.connections import Watch
from tenantry.registry.values import (
    ADD,
    BEING,
    PURGE,
    REMOVE,
    UNDO_REMOVE,
    By,
    Changes,
    Claim,
    DomainPage,
    Entry,
    Page,
    Pending,
    Place,
    Search,
    Selection,
    Terms,
    stamp,
    utc_now,
)

__all__ = [
    "ADD",
    "BEING",
    "PURGE",
    "REMOVE",
    "UNDO_REMOVE",
    "By",
    "Changes",
    "Claim",
    "DomainPage",
    "Entry",
    "Page",
    "Pending",
    "Place",
    "Registry",
    "Search",
    "Selection",
    "Terms",
    "Watch",
    "stamp",
    "utc_now",
]
