"""The desk: every verb of an operator, whoever asks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tenantry import schema
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown, reason
from tenantry.operations import adding, config, disk, removing
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
from tenantry.placement import Placement
from tenantry.registry import By, Entry
from tenantry.tenant import Status, Tenant


class Operations:
    """The operator's verbs on one instance folder.

    Each verb that changes something is crash-safe and one journal line; asked for what is so already, it writes
    nothing and says so. It owns nothing: whoever made the desk closes what is on it. `patience` is how many seconds a
    verb that moves data waits for live applications to let go of it.
    """

    def __init__(self, desk: Desk, patience: float = 30.0) -> None:
        self._desk = desk
        self._patience = patience
        self._registry = desk.registry

    def add(self, new: NewTenant) -> Added:
        """Add a tenant: folder, key, database, addresses; it answers as soon as this returns."""
        return adding.add(self._desk, new)

    def list(self, *, removed: bool = False) -> Listing:
        """List all tenants by name, the removed ones too if asked."""
        addresses = self._registry.all_addresses()
        url = self._desk.settings.url
        return Listing(
            tuple(
                Listed(tenant, tuple(url(where) for where in addresses.get(tenant.uid, ())))
                for tenant in self._registry.list(include_removed=removed)
            ),
            tuple(self._registry.poison()),
        )

    def get(self, name: str) -> Tenant:
        """Return a tenant by its name; if there is none now, the one of that name that was removed last."""
        try:
            return self._registry.get(name)
        except Unknown:
            with suppress(Unknown):
                return self._registry.removed(name)
            raise  # the one that knows which names are close

    def show(self, name: str, lines: int = 5) -> Shown:
        """Show everything about one tenant, with what is wrong and its newest journal lines."""
        tenant = self._get(name)
        placement = self._desk.instance.placement(tenant.uid)
        state, unclear = self._schema(tenant, placement)
        trouble = self._registry.trouble(tenant.uid)
        return Shown(
            tenant=tenant,
            urls=tuple(self._desk.settings.url(where) for where in self._registry.addresses(tenant.uid)),
            placement=placement.folder,
            size=_size(placement),
            schema=state,
            problems=tuple(dict.fromkeys(filter(None, (*self._problems(tenant, placement), unclear)))),
            trouble=_reason(trouble),
            trouble_since=trouble.at if trouble else "",
            journal=tuple(self._registry.journal(tenant.uid, lines)),
        )

    def path(self, name: str) -> Path:
        """Return the tenant's folder."""
        return self._desk.instance.placement(self._get(name).uid).folder

    def suspend(self, name: str, because: str) -> Changed:
        """Stop admitting visitors; the reason is for the operator's eyes."""
        tenant = self._whole(name)
        if not because.strip():
            raise Invalid("A suspension needs a reason.", hint="It is for the journal and for `tenantry show`.")
        if tenant.status is Status.SUSPENDED:
            return Changed(tenant, changed=False)
        by = By(self._desk.who, "suspend", {"because": because})
        return Changed(self._registry.set_status(tenant.uid, Status.SUSPENDED, because, by), changed=True)

    def resume(self, name: str) -> Changed:
        """Admit visitors again."""
        tenant = self._whole(name)
        if tenant.status is Status.ACTIVE:
            return Changed(tenant, changed=False)
        by = By(self._desk.who, "resume")
        return Changed(self._registry.set_status(tenant.uid, Status.ACTIVE, "", by), changed=True)

    def remove(self, name: str) -> Removed:
        """Take a tenant's addresses away and keep its folder in the trash; see `removing` for a crash in between."""
        tenant = self.get(name)
        if tenant.status is Status.ADDING:
            raise _being_added(tenant)
        return removing.remove(self._desk, tenant, self._patience)

    def undo_remove(self, name: str) -> Restored:
        """Bring a removed tenant back with its data, its addresses and the status it had."""
        tenant = self.get(name)
        if tenant.status is Status.REMOVED:
            return removing.bring_back(self._desk, tenant, self._patience)
        urls = tuple(self._desk.settings.url(where) for where in self._registry.addresses(tenant.uid))
        return Restored(tenant, changed=False, urls=urls)

    def config_set(self, name: str, values: Mapping[str, object]) -> Changed:
        """Write typed values into the tenant's config.toml; the next build reads them."""
        config.check_keys(values)
        tenant, placement = self._placed(name)
        with disk.writing(str(placement.config)):
            changed = config.set_values(placement, values)
        shown = {key: config.MASK if config.is_secret(key) else config.masked(values[key]) for key in changed}
        return self._touched(tenant, "config set", shown)

    def config_set_secret(self, name: str, values: Mapping[str, str]) -> Changed:
        """Write values into the tenant's .env, of which nothing is ever shown."""
        config.check_keys(values)
        tenant, placement = self._placed(name)
        with disk.writing(str(placement.secrets)):
            changed = config.set_secrets(placement, values)
        return self._touched(tenant, "config set", dict.fromkeys(changed, config.MASK))

    def config_unset(self, name: str, keys: Sequence[str]) -> Changed:
        """Take keys out of the tenant's config.toml and .env."""
        tenant, placement = self._placed(name)
        with disk.writing(str(placement.config)):
            gone = config.unset(placement, keys)
        return self._touched(tenant, "config unset", dict.fromkeys(gone))

    def config_show(self, name: str) -> tuple[Value, ...]:
        """Show the config the tenant's application is built with: each value, where it comes from, secrets masked."""
        tenant, placement = self._placed(name)
        config.read_config(placement)
        return tuple(config.merged(self._desk.builder().layers(tenant), placement))

    def run(self, name: str, args: Sequence[str]) -> int:
        """Run a command of the tenant's own application in the tenant and return its exit code."""
        tenant, _ = self._placed(name)
        try:
            return self._desk.builder().run_cli(tenant, args)
        except TenantryError:
            raise
        except Exception as error:
            raise Unavailable(f"The application's command failed: {reason(error)}.") from error

    def shell(self, name: str) -> None:
        """Open Python with the tenant's application loaded."""
        self._desk.builder().shell(self._placed(name)[0])

    def journal(self, name: str | None = None, limit: int = 100) -> Sequence[Entry]:
        """Return journal lines, newest first: all, or those of one tenant, removed or not."""
        return self._registry.journal(None if name is None else self.get(name).uid, limit)

    def recover(self) -> tuple[Mended, ...]:
        """Bring every interrupted add and removal to its end; what is still under way is left alone."""
        with disk.writing("The instance folder"):
            self._desk.instance.prepare()
            return (*adding.recover(self._desk), *removing.recover(self._desk))

    def _touched(self, tenant: Tenant, verb: str, changed: Mapping[str, object]) -> Changed:
        """Tell all processes to build the tenant anew, if anything has changed."""
        if not changed:
            return Changed(tenant, changed=False)
        return Changed(self._registry.touch(tenant.uid, By(self._desk.who, verb, changed)), True, tuple(changed))

    def _get(self, name: str) -> Tenant:
        """Find a tenant that is not removed; of a removed one say how it comes back."""
        tenant = self.get(name)
        if tenant.status is Status.REMOVED:
            raise Unknown(f"{name} was removed.", hint=f"`tenantry remove {name} --undo` brings it back.")
        return tenant

    def _whole(self, name: str) -> Tenant:
        tenant = self._get(name)
        if tenant.status is Status.ADDING:
            raise _being_added(tenant)
        return tenant

    def _placed(self, name: str) -> tuple[Tenant, Placement]:
        tenant = self._whole(name)
        placement = self._desk.instance.placement(tenant.uid)
        if not placement.folder.is_dir():
            raise Unavailable(f"The folder of {name}, {placement.folder}, is missing.", hint="See `tenantry doctor`.")
        return tenant, placement

    def _schema(self, tenant: Tenant, placement: Placement) -> tuple[Schema | None, str]:
        """Return where the database stands, and what is wrong if that cannot be told.

        The newest revision is read from the migrated template, which costs no import of Alembic.
        """
        try:
            application = self._desk.catalog.get(tenant.application)
            if application.migrations is None:
                return None, ""
            template = schema.template(application.migrations, self._desk.instance.templates, application.name)
            return Schema(schema.current(placement.database), schema.current(template)), ""
        except TenantryError as error:
            return None, error.says

    def _problems(self, tenant: Tenant, placement: Placement) -> Iterator[str]:
        """Say what would make a build fail, by doing what it does before it calls the application."""
        for path in (placement.key, placement.files):
            if not path.exists():
                yield f"{path} is missing."
        for look in (lambda: self._desk.builder().layers(tenant), lambda: config.read_secrets(placement)):
            try:
                look()
            except TenantryError as error:
                yield error.says


def _size(placement: Placement) -> int | None:
    parts = (placement.database, placement.database.with_name(placement.database.name + "-wal"))
    sizes = [part.stat().st_size for part in parts if part.exists()]
    return sum(sizes) if sizes else None


def _reason(trouble: Entry | None) -> str:
    return str(trouble.detail.get("reason") or "its build fails") if trouble else ""


def _being_added(tenant: Tenant) -> Refused:
    return Refused(
        f"{tenant.name} is being added.", hint="If nobody is adding it any more, `tenantry doctor --repair` clears it."
    )
