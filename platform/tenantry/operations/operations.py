"""The desk: every verb of an operator, whoever asks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tenantry.edge import Place, Rendered
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown, reason
from tenantry.operations import (
    adding,
    cloning,
    config,
    domains,
    edges,
    editing,
    explaining,
    looking,
    maintaining,
    purging,
    recovering,
    removing,
    renaming,
    standing,
)
from tenantry.operations.facts import (
    Added,
    Changed,
    Checks,
    Claimed,
    Clone,
    Desk,
    Domain,
    Domains,
    Drift,
    Explained,
    Listing,
    Maintained,
    Maintenance,
    Mended,
    NewName,
    NewTenant,
    Purged,
    Removed,
    Renamed,
    Restored,
    Shown,
    Value,
)
from tenantry.placement import Placement
from tenantry.registry import Entry, Search, Selection
from tenantry.tenant import Status, Tenant, is_uid

_ALL = Selection()
_NEWEST = Search()
_FIRST = ("", "")


class Operations:
    """The operator's verbs on one instance folder.

    Each verb that changes something is crash-safe and one journal line; asked for what is so already, it writes
    nothing and says so. Of two verbs at a time on one tenant that both saw it as it is, one wins and the other is
    Refused. On a desk for a dry run each is checked and answered, and nothing is written.

    It owns nothing: whoever made the desk closes what is on it. `patience` is how many seconds a verb that moves data
    waits for live applications to let go of it.
    """

    def __init__(self, desk: Desk, patience: float = 30.0) -> None:
        self._desk = desk
        self._patience = patience
        self._registry = desk.registry

    # Looking.

    def list(self, selection: Selection = _ALL, after: tuple[str, str] = _FIRST, limit: int = 1000) -> Listing:
        """List the tenants that are meant by name, from where the last listing ended.

        The first listing is Unknown for a name that no tenant has, and for a glob that is like none.
        """
        if after == _FIRST:
            standing.see_there(self._desk, selection)
        return looking.some(self._desk, selection, after, limit)

    def count(self, selection: Selection = _ALL) -> int:
        """Count the tenants that are meant."""
        return self._registry.count(selection)

    def select(self, selection: Selection, several: Selection | None = None) -> Sequence[Tenant]:
        """Return the tenants that are meant, in the order of the names given and without doubles.

        Unknown for a name that no tenant has, and for a glob that is like none; whoever is there and is not of the
        status or the application that is asked for is left out. Globs, and no names at all, mean those of `several` if
        it is given: so a verb may take a removed tenant by its name, and several only of those that it is for.
        """
        return standing.select(self._desk, selection, several)

    def get(self, name: str) -> Tenant:
        """Return a tenant by its name; if there is none now, the one of that name that was removed last."""
        return standing.get(self._desk, name)

    def show(self, name: str, lines: int = 5) -> Shown:
        """Show everything about one tenant, with what is wrong and its newest journal lines."""
        return looking.one(self._desk, standing.known(self._desk, name), lines)

    def path(self, name: str) -> Path:
        """Return the tenant's folder."""
        return self._desk.instance.placement(standing.known(self._desk, name).uid).folder

    def journal(self, name: str | None = None, search: Search = _NEWEST) -> Sequence[Entry]:
        """Return journal lines, newest first: all, or those of one tenant, removed or not.

        One that was purged, or has another name by now, is found by the name or uid that its lines have.
        """
        if name is None:
            return self._registry.journal(search)
        try:
            return self._registry.journal(replace(search, uid=self.get(name).uid))
        except Unknown:
            its = replace(search, uid=name) if is_uid(name) else replace(search, name=name)
            if not self._registry.journal(Search(uid=its.uid, name=its.name, limit=1)):
                raise
            return self._registry.journal(its)

    # Adding.

    def add(self, new: NewTenant) -> Added:
        """Add a tenant: folder, key, database, addresses; it answers as soon as this returns."""
        return adding.add(self._desk, new)

    def clone(self, name: str, wanted: Clone) -> Added:
        """Add a tenant that is as another one is now: database, files and config, with a key of its own."""
        return cloning.clone(self._desk, name, wanted)

    # Serving.

    def suspend(self, name: str, because: str) -> Changed:
        """Stop admitting visitors; the reason is for the operator's eyes."""
        tenant = standing.whole(self._desk, name)
        if not because.strip():
            raise Invalid("A suspension needs a reason.", hint="It is for the journal and for `tenantry show`.")
        if (tenant.status, tenant.reason) == (Status.SUSPENDED, because):
            return Changed(tenant, changed=False)
        by = standing.by(self._desk, tenant, "suspend", {"because": because})
        return Changed(self._registry.set_status(tenant.uid, Status.SUSPENDED, because, by), changed=True)

    def resume(self, name: str) -> Changed:
        """Admit visitors again."""
        tenant = standing.whole(self._desk, name)
        if tenant.status is Status.ACTIVE:
            return Changed(tenant, changed=False)
        if tenant.status is Status.MAINTENANCE:
            raise Refused(
                f"{tenant.name} is in maintenance.", hint=f"`tenantry maintenance {tenant.name} off` ends it."
            )
        by = standing.by(self._desk, tenant, "resume")
        return Changed(self._registry.set_status(tenant.uid, Status.ACTIVE, "", by), changed=True)

    def maintenance_on(self, name: str, wanted: Maintenance) -> Maintained:
        """Tell visitors to come again later, and let who has the link look nevertheless."""
        return maintaining.begin(self._desk, standing.whole(self._desk, name), wanted)

    def maintenance_off(self, name: str) -> Changed:
        """Let visitors in again."""
        return maintaining.end(self._desk, standing.whole(self._desk, name))

    def restart(self, name: str) -> Changed:
        """Have every process build the tenant's application anew, aside, before it takes the old one's place."""
        tenant = standing.whole(self._desk, name)
        return Changed(self._registry.touch(tenant.uid, standing.by(self._desk, tenant, "restart")), changed=True)

    # Names and addresses.

    def rename(self, name: str, new: str, grace: timedelta | None = None, override: bool = False) -> Renamed:
        """Give a tenant another name, to which the old one leads for the time of `grace`."""
        return renaming.rename(self._desk, standing.whole(self._desk, name), NewName(new, grace, override))

    def domain_add(self, name: str, domain: str, primary: bool = False, trust: bool = False) -> Domains:
        """Claim a custom domain for a tenant, or give it at once on `trust`; make one that it has the primary one."""
        return domains.add(self._desk, standing.whole(self._desk, name), domain, primary, trust)

    def domain_check(self, name: str, domain: str = "") -> Checks:
        """Look at a tenant's domains, or at one of them, in the DNS, and give it those that it proves to be its own."""
        return domains.check(self._desk, standing.whole(self._desk, name), domain)

    def domain_remove(self, name: str, domain: str) -> Domains:
        """Take a custom domain, or a claim to one, from a tenant."""
        return domains.remove(self._desk, standing.whole(self._desk, name), domain)

    def domain_list(self, name: str) -> tuple[Domain, ...]:
        """List the custom domains of a tenant, without those that it claims."""
        return domains.all_of(self._desk, standing.known(self._desk, name)).domains

    def domain_claims(self, name: str) -> tuple[Claimed, ...]:
        """List the custom domains that a tenant claims and has not proved to be its own."""
        return domains.all_of(self._desk, standing.known(self._desk, name)).claims

    # Removing.

    def remove(self, name: str) -> Removed:
        """Take a tenant's addresses away and keep its folder in the trash; see `removing` for a crash in between."""
        return removing.remove(self._desk, self.get(name), self._patience)

    def undo_remove(self, name: str, override: bool = False) -> Restored:
        """Bring a removed tenant back with its data, its addresses and the status it had."""
        return removing.bring_back(self._desk, self.get(name), self._patience, override=override)

    def purge(self, name: str) -> Purged:
        """Delete all that is kept of a removed tenant, for good."""
        return purging.purge(self._desk, self.get(name), self._patience)

    def purgeable(self, older_than: timedelta) -> Sequence[Tenant]:
        """Return the removed tenants that have been in the trash for so long."""
        return purging.purgeable(self._desk, older_than)

    def recover(self, quick: bool = False) -> tuple[Mended, ...]:
        """Bring every interrupted verb to its end; what is still under way is left alone.

        A `quick` one leaves a purge that would take long to whoever asks for it.
        """
        return recovering.recover(self._desk, quick)

    # Config.

    def config_set(self, name: str, values: Mapping[str, object]) -> Changed:
        """Write typed values into the tenant's config.toml; the next build reads them."""
        return editing.set_values(self._desk, self._placed(name)[0], values)

    def config_set_secret(self, name: str, values: Mapping[str, str]) -> Changed:
        """Write values into the tenant's .env, of which nothing is ever shown."""
        return editing.set_secrets(self._desk, self._placed(name)[0], values)

    def config_unset(self, name: str, keys: Sequence[str]) -> Changed:
        """Take keys out of the tenant's config.toml and .env."""
        return editing.unset(self._desk, self._placed(name)[0], keys)

    def config_edit(
        self, name: str, edit: editing.Edit, *, secret: bool = False, again: editing.Again = editing.never
    ) -> Changed:
        """Let somebody edit the tenant's config.toml, or its .env, and save it once it is right.

        `edit` gets the text and returns the edited one, None to leave it; what is not UTF-8 is in it as surrogate
        escapes. Where it is wrong, `again` is told why, and says whether to ask once more, with the wrong text.
        """
        return editing.edit(self._desk, self._placed(name)[0], editing.Asking(edit, secret, again))

    def config_show(self, name: str) -> tuple[Value, ...]:
        """Show the config the tenant's application is built with: each value, where it comes from, secrets masked."""
        tenant, placement = self._placed(name)
        return tuple(config.merged(self._desk.builder().layers(tenant), placement))

    def config_explain(self, name: str, key: str) -> Explained:
        """Tell of one key what each layer says, which of them wins, and who set it when."""
        return explaining.explain(self._desk, self._placed(name)[0], key)

    def config_drift(self, key: str, selection: Selection) -> Drift:
        """Compare what one key is for many tenants."""
        return explaining.drift(self._desk, key, selection)

    # In front of the server.

    def edge_nginx(self) -> Rendered:
        """Render nginx's configuration for the settings and the tenants there are."""
        return edges.nginx(self._desk)

    def edge_systemd(self, place: Place) -> dict[str, str]:
        """Render systemd's units, each by the name of its file; an empty user is the instance folder's owner."""
        return edges.systemd(self._desk, place)

    # The application.

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

    def _placed(self, name: str) -> tuple[Tenant, Placement]:
        return standing.placed(self._desk, name)
