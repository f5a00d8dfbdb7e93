"""What stands in front of the server, rendered from the settings and the registry. Nothing is changed."""

import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tenantry import edge
from tenantry.address import shown
from tenantry.edge import Place, Rendered
from tenantry.errors import TenantryError
from tenantry.operations.facts import Desk
from tenantry.registry import Selection


def nginx(desk: Desk) -> Rendered:
    """Render nginx's configuration; what cannot stand in it is left out and told."""
    left_out: list[str] = []
    domains = list(_domains(desk, left_out))
    statics = _statics(desk, left_out) if desk.settings.edge_files == "on" else {}
    made = edge.nginx(desk.settings, domains, statics)
    return Rendered(made.text, (*left_out, *made.left_out))


def systemd(desk: Desk, place: Place) -> dict[str, str]:
    """Render systemd's units, each by the name of its file; an empty user is the instance folder's owner."""
    return edge.systemd(desk.settings, replace(place, user=place.user or _owner(desk.instance.root)))


def _domains(desk: Desk, left_out: list[str]) -> Iterator[str]:
    """Go through the custom domains of all tenants that stand, page by page."""
    for page in desk.registry.domain_pages():
        left_out += page.unreadable
        yield from page.domains


def _statics(desk: Desk, left_out: list[str]) -> dict[str, Path]:
    """Name the folders of the applications that are used: their own static files and those of their blueprints."""
    applications: set[str] = set()
    for page in desk.registry.pages(Selection()):
        left_out += [f"The tenant {said} Its application was left out." for said in page.unreadable]
        applications.update(tenant.application for tenant in page.tenants)
    found: dict[str, Path] = {}
    for name in sorted(applications):
        try:
            found[name] = desk.catalog.get(name).folder
        except TenantryError as error:
            left_out.append(f"The static files of {shown(name)} were left out: {error.says}")
    return found


def _owner(folder: Path) -> str:
    uid = folder.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
