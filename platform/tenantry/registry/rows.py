"""Reading the registry's rows: what a row must look like to be believed."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tenantry import address
from tenantry.address import Address, Kind
from tenantry.errors import Invalid
from tenantry.registry import tables
from tenantry.registry.values import Claim, Entry
from tenantry.tenant import Notice, Status, Tenant, is_uid

_COLUMNS = ("uid", "name", "application", "status", "revision", "moved", "title", "reason", "domain", "notice")
TENANT = tables.tenants.c[_COLUMNS]
CLAIM = tables.claims.c["domain", "token", "is_primary", "at"]
ENTRY = tables.journal.c["id", "revision", "at", "who", "verb", "uid", "name", "detail", "before", "after"]

_STATUSES = {status.value: status for status in Status}
_KINDS = {kind.value: kind for kind in Kind}
_TOKEN = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Poison(Exception):
    """A row that cannot be a tenant: somebody's hand or a damaged disk; it must hurt nobody else."""


def tenant(row: Sequence[Any]) -> Tenant:
    """Make a tenant of a row of the columns TENANT, or raise Poison with what is wrong with it."""
    uid, name, application, status, revision, moved, title, reason, domain, told = row
    if not is_uid(uid):
        raise Poison(f"the uid {address.shown(str(uid))} is none")
    if not (isinstance(name, str) and address.is_name(name)):
        raise Poison(f"the name {address.shown(str(name))} is none")
    if status not in _STATUSES:
        raise Poison(f"the status {address.shown(str(status))} is none")
    if not (isinstance(revision, int) and isinstance(moved, int)):
        raise Poison("the revision is not a number")
    if not all(isinstance(some, str) for some in (application, title, reason, domain, told)):
        raise Poison("a text is missing")
    # One string for all tenants of an application: a process may hold a hundred thousand of them.
    application = sys.intern(application)
    return Tenant(
        uid,
        name,
        application,
        _STATUSES[status],
        revision,
        moved,
        title,
        reason,
        # One that is none would be redirected to; without it the tenant answers where it is asked.
        domain if not domain or is_domain(domain) else "",
        _notice(told) if told else None,
    )


def _notice(told: str) -> Notice:
    try:
        found = Notice(**json.loads(told))
    except (TypeError, ValueError) as error:
        raise Poison("its notice cannot be read") from error
    if not (isinstance(found.message, str) and isinstance(found.retry_after, int) and isinstance(found.digest, str)):
        raise Poison("its notice makes no sense")
    return found


def told(notice: Notice | None) -> str:
    """Spell a notice as it is stored."""
    return json.dumps(asdict(notice)) if notice is not None else ""


def where(key: object) -> Address | None:
    """Make an address of its key, or None of a key that cannot be one."""
    kind, colon, value = str(key).partition(":")
    if not (colon and value and kind in _KINDS) or (kind == Kind.DOMAIN and not is_domain(value)):
        return None
    return Address(_KINDS[kind], value)


def claim(row: Sequence[Any]) -> Claim | None:
    """Make a claim of a row of the columns CLAIM, or None of one that cannot be a claim."""
    domain, token, primary, at = row
    if not (is_domain(domain) and isinstance(token, str) and _TOKEN.fullmatch(token)):
        return None
    return Claim(domain, token, bool(primary), str(at))


def is_domain(value: object) -> bool:
    """Tell whether `value` is a custom domain in its canonical form."""
    try:
        return isinstance(value, str) and address.domain(value) == value
    except Invalid:
        return False


def by_kind(found: Address) -> tuple[int, str]:
    """Order addresses as operators expect them: subdomain, path, custom domains."""
    return list(Kind).index(found.kind), found.value


def entry(row: Sequence[Any]) -> Entry:
    """Make a journal line of a row of the columns ENTRY; a damaged detail is kept as the text it is."""
    number, revision, at, who, verb, uid, name, *texts = row
    detail, before, after = map(_document, texts)
    return Entry(number, revision, at, who, verb, uid, name, detail, before, after)


def _document(raw: Any) -> dict[str, object]:
    try:
        found = json.loads(raw)
    except (TypeError, ValueError):
        found = raw
    return found if isinstance(found, dict) else {"damaged": found}
