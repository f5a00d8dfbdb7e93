"""Adding a tenant: nothing or all of it, whatever happens in between.

    1  staging/<uid>.lock   locked for the whole run: who holds it is alive
    2  the row, `adding`    name and addresses are taken, nobody is admitted
    3  staging/<uid>/       made whole, every file on the disk
    4  rename               to tenants/<uid>, both parents on the disk
    5  the row, `active`    with the journal line, in one transaction

A crash leaves a row that is `adding`, or things in staging/, and a lock that nobody holds. `undo` takes both back: the
folder goes back to staging/ first, then the row, then the files, so that each of these can be cut short again. An add
that fails for another reason undoes itself in the same way. There is no moment at which a tenant is active and its
folder is not whole.

With what a placement is filled is not decided here: a new tenant's comes from its application's template, a clone's
from another tenant.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tenantry import address, databases, schema
from tenantry.address import Address, Kind
from tenantry.application import Application
from tenantry.errors import Invalid, TenantryError, Unknown, reason
from tenantry.operations import config, disk, domains, names, proving, underway
from tenantry.operations.facts import Added, Desk, NewTenant
from tenantry.placement import Placement
from tenantry.registry import By, Claim
from tenantry.tenant import Status, Tenant, new_uid

_KEY_BYTES = 32
_TITLE_LENGTH = 200
_LEFT = "What is left of it is cleared away by the next command."


@dataclass(frozen=True, slots=True)
class Intent:
    """A tenant to be, at which addresses, what else it claims, and what the journal will say of it."""

    tenant: Tenant
    addresses: Sequence[Address]
    by: By
    override: bool = False
    claims: Sequence[Claim] = ()


def add(desk: Desk, new: NewTenant) -> Added:
    """Add a tenant, whole and answering, or raise and leave nothing."""
    name = address.new_name(new.name, override=new.override)
    title = checked_title(new.title)
    application = desk.catalog.get(new.application or desk.settings.application)
    addresses, claims = _addresses_of(desk, name, new)
    config.check(new.config)
    documents = (config.document(new.config, name), config.secrets_document(name))
    tenant = Tenant(new_uid(), name, application.name, Status.ADDING, 0, title=title)
    intent = Intent(tenant, addresses, By(desk.who, "add", _detail(new)), new.override, claims)
    tenant = make(desk, intent, lambda staged: _fill(desk, staged, application, documents))
    link, warning = (None, "") if desk.dry_run else _owner_link(desk, tenant)
    urls = tuple(desk.settings.url(where) for where in addresses)
    return Added(tenant, urls, link, warning, domains.claimed(desk, tenant, claims))


def make(desk: Desk, intent: Intent, fill: Callable[[Placement], None]) -> Tenant:
    """Make a tenant whose placement `fill` has filled, whole and answering, or raise and leave nothing."""
    if desk.dry_run:
        _intend(desk, intent)
        return replace(intent.tenant, status=Status.ACTIVE)
    uid = intent.tenant.uid
    desk.instance.prepare()
    with (
        disk.writing(f"The placement of {intent.tenant.name}", unsure=_LEFT),
        underway.holding(desk, uid),
    ):
        try:
            by = _intend(desk, intent)
            _place(desk, uid, fill)
            return desk.registry.activate(uid, by)
        except BaseException as error:
            _take_back(desk, uid, error)
            raise


def undo(desk: Desk, uid: str) -> bool:
    """Take back what an add has done so far, under its lock; tell whether there was anything."""
    tenant = _row(desk, uid)
    staged, placed = desk.instance.staging / uid, desk.instance.placement(uid).folder
    half = tenant is not None and tenant.status is Status.ADDING
    if half:
        if placed.exists():
            disk.move(placed, staged)
        desk.registry.abandon(uid)
    litter = staged.exists()
    if litter:
        disk.delete(staged)
    return half or litter


def _take_back(desk: Desk, uid: str, error: BaseException) -> None:
    try:
        undo(desk, uid)
    except (OSError, TenantryError):
        # What cannot be undone now is found by `recover`, by its row or its folder in staging/; nobody says meanwhile
        # that nothing was changed.
        if isinstance(error, TenantryError):
            error.hint = _LEFT
        elif isinstance(error, OSError):
            raise disk.Unsure(error.errno, error.strerror, error.filename) from error


def _addresses_of(desk: Desk, name: str, new: NewTenant) -> tuple[list[Address], list[Claim]]:
    """Return the addresses a new tenant asks for, and what it claims; Invalid for what none can have."""
    found = [Address(Kind.SUBDOMAIN, name)]
    if new.path:
        found.append(Address(Kind.PATH, name))
    wanted = list(dict.fromkeys(domains.own(desk, text) for text in new.domains))
    if not new.trust:
        return found, [proving.new_claim(domain, primary=False) for domain in wanted]
    return [*found, *(Address(Kind.DOMAIN, domain) for domain in wanted)], []


def checked_title(title: str) -> str:
    """Return a title that a tenant can have, or raise Invalid."""
    if len(title) > _TITLE_LENGTH or not title.isprintable():
        raise Invalid(f"A title is at most {_TITLE_LENGTH} printable characters, on one line.")
    return title


def _intend(desk: Desk, intent: Intent) -> By:
    """Take name and addresses, and return what the journal will say, an override of the rules included."""

    def attempt(override: bool, kept: dict[str, object]) -> By:
        desk.registry.intend(intent.tenant, intent.addresses, claims=intent.claims, override=override)
        return replace(intent.by, detail={**intent.by.detail, **kept})

    return names.give(intent.tenant.name, intent.override, attempt)


def _place(desk: Desk, uid: str, fill: Callable[[Placement], None]) -> None:
    """Make the placement in staging/, complete, and rename it into place."""
    staged = Placement(desk.instance.staging / uid)
    staged.folder.mkdir(mode=0o700)
    staged.files.mkdir(mode=0o700)
    disk.write(staged.key, secrets.token_bytes(_KEY_BYTES))
    disk.write(staged.lock, b"")
    fill(staged)
    disk.own_like(staged.folder, desk.instance.tenants)
    disk.settle_all(staged.folder)
    try:
        disk.move(staged.folder, desk.instance.placement(uid).folder)
    except disk.Unsure as error:
        # It does not stay in place: what is undone needs no confirmation.
        raise OSError(error.errno, error.strerror, error.filename) from error


def _fill(desk: Desk, staged: Placement, application: Application, documents: tuple[str, str]) -> None:
    disk.write(staged.config, documents[0].encode())
    disk.write(staged.secrets, documents[1].encode())
    if application.migrations is not None:
        template = schema.template(application.migrations, desk.instance.templates, application.name)
        databases.provision(staged.database, template)


def _row(desk: Desk, uid: str) -> Tenant | None:
    try:
        return desk.registry.by_uid(uid)
    except Unknown:
        return None


def _detail(new: NewTenant) -> dict[str, object]:
    shown = {key: config.told(key, value) for key, value in new.config.items()}
    return {**({"config": shown} if shown else {}), **({"trust": True} if new.trust and new.domains else {})}


def _owner_link(desk: Desk, tenant: Tenant) -> tuple[str | None, str]:
    """Return the owner's one-time link, and why there is none although there should be one."""
    try:
        builder = desk.builder()
        layers = builder.layers(tenant)
        if dict(pair for _, values in layers for pair in values.items()).get("SIGN_UP_OPEN") is True:
            return None, ""
        return builder.owner_link(tenant), ""
    except Exception as error:  # noqa: BLE001 - the application's code may raise anything
        why = error.says if isinstance(error, TenantryError) else f"{reason(error)}."
        return None, f"No owner link was made: {why}"
