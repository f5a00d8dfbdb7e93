"""Adding a tenant: nothing or all of it, whatever happens in between.

    1  staging/<uid>.lock   locked for the whole run: who holds it is alive
    2  the row, `adding`    name and addresses are taken, nobody is admitted
    3  staging/<uid>/       made whole, every file on the disk
    4  rename               to tenants/<uid>, both parents on the disk
    5  the row, `active`    with the journal line, in one transaction
    6  the lock is deleted

A crash leaves a row that is `adding`, or things in staging/, and a lock that nobody holds. `recover` undoes both: the
folder goes back to staging/ first, then the row, then the files, so that each of these can be cut short again. An add
that fails for another reason undoes itself in the same way. There is no moment at which a tenant is active and its
folder is not whole.
"""

import re
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tenantry import address, databases, schema
from tenantry.address import Address, Kind
from tenantry.application import Application
from tenantry.errors import Invalid, TenantryError, Unknown, reason
from tenantry.operations import config, disk
from tenantry.operations.facts import Added, Desk, Mended, NewTenant
from tenantry.placement import Instance, Placement
from tenantry.registry import By
from tenantry.tenant import UID_LENGTH, Status, Tenant, new_uid

_KEY_BYTES = 32
_TITLE_LENGTH = 200
_UID = re.compile(rf"[a-z2-7]{{{UID_LENGTH}}}", re.ASCII)


def add(desk: Desk, new: NewTenant) -> Added:
    """Add a tenant, whole and answering, or raise and leave nothing."""
    name = address.new_name(new.name)
    if len(new.title) > _TITLE_LENGTH or not new.title.isprintable():
        raise Invalid(f"A title is at most {_TITLE_LENGTH} printable characters, on one line.")
    application = desk.catalog.get(new.application or desk.settings.application)
    addresses = addresses_of(desk, name, new)
    config.check_keys(new.config)
    documents = (config.document(new.config, name), config.secrets_document(name))
    intent = Tenant(new_uid(), name, application.name, Status.ADDING, 0, title=new.title)
    by = By(desk.who, "add", _detail(new, application, addresses))
    with disk.writing(f"The placement of {name}"):
        desk.instance.prepare()
        _undo_dead(desk, left_over(desk.instance), {})
        with disk.alive(_lock(desk, intent.uid)):
            try:
                desk.registry.intend(intent, addresses)
                _place(desk, intent.uid, application, documents)
                tenant = desk.registry.activate(intent.uid, by)
                _lock(desk, intent.uid).unlink()
            except BaseException:
                # What cannot be undone now is found by `recover`: the lock file stays until it is.
                with suppress(OSError, TenantryError):
                    _undo(desk, intent.uid)
                raise
    link, warning = _owner_link(desk, tenant)
    return Added(tenant, tuple(desk.settings.url(where) for where in addresses), link, warning)


def addresses_of(desk: Desk, name: str, new: NewTenant) -> list[Address]:
    """Return the addresses a new tenant asks for; raise Invalid for a domain that cannot be one of its own."""
    found = [Address(Kind.SUBDOMAIN, name)]
    if new.path:
        found.append(Address(Kind.PATH, name))
    for text in new.domains:
        domain = address.domain(text)
        if domain == desk.settings.domain or domain.endswith(f".{desk.settings.domain}"):
            raise Invalid(
                f"{domain} lies below the platform's own domain, {desk.settings.domain}.",
                hint="A tenant has its subdomain by its name; a custom domain is one of the tenant's own.",
            )
        found.append(Address(Kind.DOMAIN, domain))
    return list(dict.fromkeys(found))


def recover(desk: Desk) -> list[Mended]:
    """Undo every add whose process is dead; one that is still running is left alone."""
    rows = {tenant.uid: tenant.name for tenant in desk.registry.list() if tenant.status is Status.ADDING}
    return _undo_dead(desk, left_over(desk.instance) | rows.keys(), rows)


def left_over(instance: Instance) -> set[str]:
    """Return the uids of adds that are under way or were cut short: what is not spelled so in staging/ is not ours."""
    if not instance.staging.is_dir():
        return set()
    names = {path.name.removesuffix(".lock") for path in instance.staging.iterdir()}
    return {name for name in names if _UID.fullmatch(name)}


def _undo_dead(desk: Desk, uids: Iterable[str], names: Mapping[str, str]) -> list[Mended]:
    mended = []
    for uid in sorted(uids):
        # A row that makes no sense or a file that stays must not keep the others from being mended, or a new one out.
        with suppress(TenantryError, OSError), disk.alive(_lock(desk, uid)) as ours:
            if ours and _undo(desk, uid):
                mended.append(Mended(uid, names.get(uid, ""), "an interrupted add was undone"))
    return mended


def _lock(desk: Desk, uid: str) -> Path:
    return desk.instance.staging / f"{uid}.lock"


def _place(desk: Desk, uid: str, application: Application, documents: tuple[str, str]) -> None:
    """Make the placement in staging/, complete, and rename it into place."""
    staged = Placement(desk.instance.staging / uid)
    staged.folder.mkdir(mode=0o700)
    staged.files.mkdir(mode=0o700)
    disk.write(staged.key, secrets.token_bytes(_KEY_BYTES))
    disk.write(staged.config, documents[0].encode())
    disk.write(staged.secrets, documents[1].encode())
    disk.write(staged.lock, b"")
    if application.migrations is not None:
        template = schema.template(application.migrations, desk.instance.templates, application.name)
        databases.provision(staged.database, template)
    disk.own_like(staged.folder, desk.instance.tenants)
    disk.settle_all(staged.folder)
    disk.move(staged.folder, desk.instance.placement(uid).folder)


def _undo(desk: Desk, uid: str) -> bool:
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
        shutil.rmtree(staged)
    _lock(desk, uid).unlink(missing_ok=True)
    return half or litter


def _row(desk: Desk, uid: str) -> Tenant | None:
    try:
        return desk.registry.by_uid(uid)
    except Unknown:
        return None


def _detail(new: NewTenant, application: Application, addresses: Sequence[Address]) -> dict[str, object]:
    shown = {key: config.MASK if config.is_secret(key) else config.masked(value) for key, value in new.config.items()}
    told: dict[str, object] = {
        "application": application.name,
        "title": new.title,
        "addresses": [where.key for where in addresses],
        "config": shown,
    }
    return {key: value for key, value in told.items() if value}


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
