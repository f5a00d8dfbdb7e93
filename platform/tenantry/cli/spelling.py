"""Tenants and journal lines spelled for JSON, with keys that stay, and for a reader."""

from typing import TYPE_CHECKING

from tenantry.cli import paper

if TYPE_CHECKING:
    from tenantry.operations import Entry, Shown
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
    state = shown.schema
    return {
        **tenant_document(shown.tenant, shown.urls),
        "placement": shown.placement,
        "database_size": shown.size,
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
        ("addresses", shown.urls),
        ("application", tenant.application),
        ("uid", tenant.uid),
        ("revision", tenant.revision),
        ("folder", shown.placement),
        ("database", paper.size(shown.size) or "none"),
        ("schema", schema),
        ("trouble", f"since {shown.trouble_since}: {shown.trouble}" if shown.trouble else ""),
        ("problems", shown.problems),
        ("journal", [entry_line(entry) for entry in shown.journal]),
    ]
    return [(name, value) for name, value in found if value]


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
    }


def entry_line(entry: "Entry") -> str:
    """Spell a journal line for a reader."""
    detail = "; ".join(f"{name}: {paper.cell(value)}" for name, value in entry.detail.items())
    return " ".join(part for part in (entry.at, entry.who, entry.verb, detail) if part)
