"""Tenants and journal lines spelled for JSON, with keys that stay, and for a reader."""

from typing import TYPE_CHECKING

from tenantry.cli import paper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenantry.operations import Claimed, Entry, Shown
    from tenantry.tenant import Tenant


def tenant_document(tenant: "Tenant", urls: tuple[str, ...]) -> dict[str, object]:
    """Spell a tenant for JSON."""
    return {
        "uid": tenant.uid,
        "name": tenant.name,
        "title": tenant.title,
        "application": tenant.application,
        "status": tenant.status.value,
        "reason": tenant.reason,
        "revision": tenant.revision,
        "urls": list(urls),
    }


def shown_document(shown: "Shown") -> dict[str, object]:
    """Spell all facts of a tenant for JSON."""
    state, notice = shown.schema, shown.notice
    return {
        **tenant_document(shown.tenant, shown.urls),
        "domain": shown.tenant.domain or None,
        "claims": [claim_document(claim) for claim in shown.claims],
        "old_names": [{"name": name, "until": until} for name, until in _old_names(shown).items()],
        "maintenance": notice and {"message": notice.message, "retry_after": notice.retry_after},
        "pending": shown.pending or None,
        "placement": shown.placement,
        "database_size": shown.size,
        "disk": shown.disk
        and {
            "files": shown.disk.files,
            "all": shown.disk.all,
            "quota": shown.disk.quota or None,
            "warning": shown.disk.warning or None,
        },
        "limits": dict(shown.limits),
        "schema": state and {"current": state.current, "head": state.head, "pending": state.pending},
        "problems": list(shown.problems),
        "trouble": {"since": shown.trouble_since, "reason": shown.trouble} if shown.trouble else None,
        "journal": [entry_document(entry) for entry in shown.journal],
    }


def shown_facts(shown: "Shown") -> list[tuple[str, object]]:
    """Spell all facts of a tenant for a reader, without those that are not."""
    tenant, state = shown.tenant, shown.schema
    schema = "no migrations" if state is None else f"{state.current or 'nothing'}, at the newest revision"
    if state is not None and state.pending:
        schema = f"{state.current or 'nothing'}, while {tenant.application} is at {state.head}"
    found: list[tuple[str, object]] = [
        ("name", tenant.name),
        ("title", tenant.title),
        ("status", tenant.status.value),
        ("because", tenant.reason),
        ("visitors read" if tenant.status == "maintenance" else "once resumed, visitors read", _notice(shown)),
        ("under way", shown.pending),
        ("addresses", shown.urls),
        ("primary domain", tenant.domain),
        ("claimed domains", [claim.domain for claim in shown.claims]),
        ("old names", [f"{name} leads here until {until}" for name, until in _old_names(shown).items()]),
        ("application", tenant.application),
        ("uid", tenant.uid),
        ("revision", tenant.revision),
        ("folder", shown.placement),
        ("database", paper.size(shown.size) or "none"),
        ("files", paper.size(shown.disk.files) if shown.disk else ""),
        ("on the disk", _on_disk(shown)),
        ("limits", [f"{key}: {paper.cell(value) or 'none'}" for key, value in shown.limits.items()]),
        ("schema", schema),
        ("trouble", f"since {shown.trouble_since}: {shown.trouble}" if shown.trouble else ""),
        ("problems", shown.problems),
        ("journal", [entry_line(entry) for entry in shown.journal]),
    ]
    return [(name, value) for name, value in found if value]


def claim_document(claim: "Claimed") -> dict[str, object]:
    """Spell a claim to a domain for JSON."""
    record = {"name": claim.record, "type": "TXT", "value": claim.value or None}
    return {
        "domain": claim.domain,
        "primary": claim.primary,
        "verified": False,
        "record": record,
        "target": claim.target,
    }


def entry_document(entry: "Entry") -> dict[str, object]:
    """Spell a journal line for JSON."""
    return {
        "id": entry.id,
        "revision": entry.revision,
        "at": entry.at,
        "who": entry.who,
        "verb": entry.verb,
        "uid": entry.uid,
        "name": entry.name,
        "detail": entry.detail,
        "before": entry.before,
        "after": entry.after,
    }


def entry_line(entry: "Entry") -> str:
    """Spell a journal line for a reader."""
    detail = [f"{name}: {paper.cell(value)}" for name, value in remarks(entry).items()]
    told = "; ".join([*detail, *changes(entry)])
    return " ".join(part for part in (entry.at, entry.who, entry.verb, told) if part)


def remarks(entry: "Entry") -> dict[str, object]:
    """Return what a line tells beside the change itself."""
    return {key: value for key, value in entry.detail.items() if key not in {**entry.before, **entry.after}}


def changes(entry: "Entry") -> list[str]:
    """Spell what a line changed, before -> after; of lists only what differs."""
    old, new = _flat(entry.before), _flat(entry.after)
    found = []
    for key in {**old, **new}:
        was, now = map(paper.cell, _differing(old.get(key), new.get(key)))
        if was != now:
            found.append(f"{key}: {was or 'nothing'} -> {now or 'nothing'}" if old else f"{key}: {now}")
    return found


def _flat(values: "Mapping[str, object]") -> dict[str, object]:
    """Spell what is inside a value with its name before it; a digest tells a reader nothing."""
    found: dict[str, object] = {}
    for key, value in values.items():
        inside = {f"{key} {inner}": one for inner, one in value.items()} if isinstance(value, dict) else {key: value}
        found.update({name: one for name, one in inside.items() if not name.endswith(" digest")})
    return found


def _differing(old: object, new: object) -> tuple[object, object]:
    if isinstance(old, list) and isinstance(new, list):
        return [one for one in old if one not in new], [one for one in new if one not in old]
    return old, new


def _on_disk(shown: "Shown") -> str:
    disk = shown.disk
    if disk is None or not disk.quota:
        return paper.size(disk.all) if disk else ""
    told = f"{paper.size(disk.all)} of {paper.size(disk.quota)}, {disk.part:.0%}"
    return f"{told}: {disk.warning}" if disk.warning else told


def _old_names(shown: "Shown") -> dict[str, str]:
    """Return the names it was called by, which lead to it, and until when."""
    return {place.address.value: place.until for place in shown.places if place.until}


def _notice(shown: "Shown") -> str:
    if shown.notice is None:
        return ""
    return f"{shown.notice.message or 'that it is in maintenance'} (Retry-After: {shown.notice.retry_after})"
