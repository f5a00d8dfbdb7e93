"""What an operator's verb needs: settings, book, catalog and builder."""

import logging
import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tenantry import settings
from tenantry.address import Address, Kind
from tenantry.application import Catalog
from tenantry.assembly import sign
from tenantry.builder import Builder
from tenantry.errors import TenantryError, Unavailable, Unknown
from tenantry.operations import Desk, Operations
from tenantry.placement import Instance
from tenantry.policy import granted
from tenantry.registry import Registry, Terms
from tenantry.resolver import Resolver
from tenantry.settings import Settings
from tenantry.tenant import Tenant

_log = logging.getLogger(__name__)


@contextmanager
def open_operations(
    root: Path,
    overrides: Mapping[str, object] | None = None,
    *,
    dry_run: bool = False,
    make: bool = True,
    mends: bool = True,
) -> Iterator[Operations]:
    """Open the operator's desk on the instance folder that the settings below `root` name.

    Whoever comes first brings to its end what others were killed at, unless it `mends` nothing. Who comes to write
    makes the folder if there is none; for who comes to read, with `make` False, that is Unknown. A `dry_run` checks and
    answers and changes nothing at all.
    """
    known = sign.read(settings.read(root, os.environ, overrides).settings)
    if not make:
        see_there(Instance(known.instance))
    with ExitStack() as undo:
        if dry_run and make:
            known, make = _rehearsed(known, undo)
        operations = Operations(undo.enter_context(open_desk(root, known, dry_run=dry_run, make=make)))
        if mends and not dry_run:
            mend(operations)
        yield operations


@contextmanager
def open_desk(root: Path, known: Settings, *, dry_run: bool = False, make: bool = True) -> Iterator[Desk]:
    """Prepare the instance folder, if it is to be made, open its registry and lay out the desk around it."""
    instance = Instance(known.instance)
    if make:
        instance.prepare()
        _see_whole(instance)
    terms = Terms(rehearsal=dry_run, retired_days=known.retired_days)
    catalog = Catalog(root)
    with Registry.open(instance.registry, terms=terms) as registry:
        yield Desk(
            settings=known,
            instance=instance,
            registry=registry,
            catalog=catalog,
            builder=lambda: Builder(instance, catalog, public_url(known), granted(known)),
            who=operator(),
            dry_run=dry_run,
            resolver=Resolver(known.resolver),
        )


def _see_whole(instance: Instance) -> None:
    """Raise Unavailable where tenants have lost their registry: all servers would believe an empty one."""
    if not instance.registry.exists() and any(path.is_dir() for path in instance.tenants.iterdir()):
        raise Unavailable(
            f"There are tenants in {instance.root} but the registry {instance.registry} is missing.",
            hint="Put it back from a backup, or begin anew in another folder.",
        )


def mend(operations: Operations) -> None:
    """Finish or undo what was interrupted; what cannot be mended now is the doctor's to tell and stops nobody."""
    try:
        for mended in operations.recover(quick=True):
            _log.info("%s: %s", mended.name or mended.uid, mended.says)
    except (TenantryError, OSError) as error:
        _log.info("what was interrupted cannot be mended now: %s", error)


def _rehearsed(known: Settings, undo: ExitStack) -> tuple[Settings, bool]:
    """Return the settings for a rehearsal, and whether its folder is to be made: where there is none, elsewhere."""
    if Instance(known.instance).registry.is_file():
        return known, False
    elsewhere = Path(undo.enter_context(TemporaryDirectory(prefix="tenantry-")))
    return replace(known, instance=elsewhere / "instance"), True


def see_there(instance: Instance) -> None:
    """Raise Unknown where there is no instance folder yet."""
    if not instance.registry.is_file():
        raise Unknown(
            f"There is no instance folder at {instance.root} yet.",
            hint="`tenantry add NAME` or `tenantry serve` makes it; or see --instance.",
        )


def public_url(known: Settings) -> Callable[[Tenant, str], str]:
    """Make what tells a live application its own address: by its mount, else by its subdomain."""

    def url(tenant: Tenant, mount: str) -> str:
        return known.url(Address(Kind.PATH if mount else Kind.SUBDOMAIN, tenant.name))

    return url


def operator() -> str:
    """Name the operating system's user for the journal, and behind sudo the person who typed it.

    The environment alone proves nothing: LOGNAME is anybody's to set, and SUDO_USER is believed of root.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    person = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    return f"{person} ({name})" if person.isprintable() and person not in {"", name} else name
