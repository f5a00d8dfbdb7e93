"""Reading the registry's rows: what a row must look like to be believed."""

import json
import re
from collections.abc import Sequence
from typing import Any

from tenantry import address
from tenantry.address import Address, Kind
from tenantry.registry import tables
from tenantry.registry.values import Entry
from tenantry.tenant import Status, Tenant

TENANT = tables.tenants.c["uid", "name", "application", "status", "revision", "moved", "title", "reason"]
ENTRY = tables.journal.c["id", "revision", "at", "who", "verb", "uid", "name", "detail"]

_UID = re.compile(r"[a-z2-7]{12}", re.ASCII)
_STATUSES = {status.value: status for status in Status}
_KINDS = {kind.value: kind for kind in Kind}


class Poison(Exception):
    """A row that cannot be a tenant: somebody's hand or a damaged disk; it must hurt nobody else."""


def is_uid(text: object) -> bool:
    """Tell whether `text` is spelled as a uid."""
    return isinstance(text, str) and _UID.fullmatch(text) is not None


def tenant(row: Sequence[Any]) -> Tenant:
    """Make a tenant of a row of the columns TENANT, or raise Poison with what is wrong with it."""
    uid, name, application, status, revision, moved, title, reason = row
    if not is_uid(uid):
        raise Poison(f"the uid {address.shown(str(uid))} is none")
    if not (isinstance(name, str) and address.is_name(name)):
        raise Poison(f"the name {address.shown(str(name))} is none")
    if status not in _STATUSES:
        raise Poison(f"the status {address.shown(str(status))} is none")
    if not (isinstance(revision, int) and isinstance(moved, int)):
        raise Poison("the revision is not a number")
    if not (isinstance(application, str) and isinstance(title, str) and isinstance(reason, str)):
        raise Poison("a text is missing")
    return Tenant(uid, name, application, _STATUSES[status], revision, moved, title, reason)


def where(key: object) -> Address | None:
    """Make an address of its key, or None of a key that cannot be one."""
    kind, colon, value = str(key).partition(":")
    return Address(_KINDS[kind], value) if colon and value and kind in _KINDS else None


def by_kind(found: Address) -> tuple[int, str]:
    """Order addresses as operators expect them: subdomain, path, custom domains."""
    return list(Kind).index(found.kind), found.value


def entry(row: Sequence[Any]) -> Entry:
    """Make a journal line of a row of the columns ENTRY; a damaged detail is kept as the text it is."""
    number, revision, at, who, verb, uid, name, raw = row
    try:
        detail = json.loads(raw)
    except (TypeError, ValueError):
        detail = raw
    return Entry(
        number, revision, at, who, verb, uid, name, detail if isinstance(detail, dict) else {"damaged": detail}
    )
