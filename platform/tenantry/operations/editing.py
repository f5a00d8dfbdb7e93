"""Changing a tenant's config: both files whole, each change one journal line, and an operator's edit checked first.

    1  the tenant's lock    one verb at a time touches its files; others wait here, as does a change of config
    2  a copy               of both files in staging/, from which a change that is cut short is undone; see `keeping`
    3  the files            each replaced whole, in a folder that stays where it is: the placement is held shared
    4  the journal line     with the tenant's new revision, on which every process builds it anew
    5  the copy is deleted

An operator's edit holds no lock while somebody types; if the file has changed meanwhile, it is not saved.
"""

import io
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import parse_stream

from tenantry.builder import files
from tenantry.errors import Invalid, Refused, TenantryError
from tenantry.locks import locked
from tenantry.operations import config, disk, underway
from tenantry.operations.facts import Changed, Desk
from tenantry.operations.keeping import AS_IT_WAS, EDIT, SET, UNSET, content, kept, recover
from tenantry.registry import By
from tenantry.tenant import GONE, Tenant

Edit = Callable[[str], str | None]
Again = Callable[[TenantryError], bool]

_SECRETS = ".env"
_PATIENCE = 30.0


def never(_: TenantryError) -> bool:
    """Leave an edit that is wrong as it is."""
    return False


@dataclass(frozen=True, slots=True)
class Asking:
    """Who edits, and what: `config.toml`, or the `.env` if it is `secret`; see `Operations.config_edit`."""

    edit: Edit
    secret: bool = False
    again: Again = never


@dataclass(frozen=True, slots=True)
class _Page:
    """What one of the two files will say: its text, and the values before and after as the journal may have them."""

    path: Path
    text: str
    before: Mapping[str, object]
    after: Mapping[str, object]


def set_values(desk: Desk, tenant: Tenant, values: Mapping[str, object]) -> Changed:
    """Write values into `config.toml`, comments kept."""
    config.check(values)
    placement = desk.instance.placement(tenant.uid)
    with _changing(desk, tenant) as found:
        old = config.read_config(placement)
        changed = {key: value for key, value in values.items() if key not in old or _differ(old[key], value)}
        _see_unhidden(config.read_secrets(placement), values)
        if not changed:
            return Changed(tenant, changed=False)
        text = config.with_values(_text(placement.config), changed)
        page = _Page(placement.config, text, _told(old, changed), _told(changed, changed))
        return _commit(desk, found, SET, [page])


def set_secrets(desk: Desk, tenant: Tenant, values: Mapping[str, str]) -> Changed:
    """Write values into `.env`, its other lines kept."""
    config.check(values)
    placement = desk.instance.placement(tenant.uid)
    with _changing(desk, tenant) as found:
        old = config.read_secrets(placement)
        changed = {key: value for key, value in values.items() if old.get(key) != value}
        if not changed:
            return Changed(tenant, changed=False)
        text = config.with_secrets(_text(placement.secrets), changed)
        page = _Page(placement.secrets, text, _hidden(old.keys() & changed.keys()), _hidden(changed))
        return _commit(desk, found, SET, [page])


def unset(desk: Desk, tenant: Tenant, keys: Iterable[str]) -> Changed:
    """Take keys out of both files, comments kept."""
    wanted = set(keys)
    placement = desk.instance.placement(tenant.uid)
    with _changing(desk, tenant) as found:
        values, hidden = config.read_config(placement), config.read_secrets(placement)
        pages = []
        if plain := sorted(wanted & values.keys()):
            text = config.with_values(_text(placement.config), {}, plain)
            pages.append(_Page(placement.config, text, _told(values, plain), {}))
        if secret := sorted(wanted & hidden.keys()):
            text = config.with_secrets(_text(placement.secrets), {}, secret)
            pages.append(_Page(placement.secrets, text, _hidden(secret), {}))
        return _commit(desk, found, UNSET, pages) if pages else Changed(tenant, changed=False)


def edit(desk: Desk, tenant: Tenant, asking: Asking) -> Changed:
    """Let somebody edit `config.toml`, or the `.env`, as they like, and save it once it is right."""
    placement = desk.instance.placement(tenant.uid)
    path = placement.secrets if asking.secret else placement.config
    before = content(path)
    first = text = (before or b"").decode("utf-8", "surrogateescape")
    while True:
        edited = asking.edit(text)
        if edited is None or edited == first:
            return Changed(tenant, changed=False)
        try:
            page = _edited(path, first, edited)
            if not asking.secret:
                _see_unhidden(_values(placement.secrets), page.after)
            break
        except TenantryError as error:
            if not asking.again(error):
                raise
            text = edited
    with _changing(desk, tenant) as found:
        if content(path) != before:
            raise Refused(f"{path} was changed by somebody else while it was edited.")
        return _commit(desk, found, EDIT, [page])


def _edited(path: Path, first: str, edited: str) -> _Page:
    """Check an edit and say what it changes; of a file that was broken before nothing is known."""
    new, old = _checked(edited, path.name), dict[str, object]()
    with suppress(TenantryError):
        old = _parsed(first, path.name, str(path))
    keys = {key for key in old.keys() | new.keys() if key not in old or key not in new or _differ(old[key], new[key])}
    if path.name == _SECRETS:
        return _Page(path, edited, _hidden(old.keys() & keys), _hidden(new.keys() & keys))
    return _Page(path, edited, _told(old, old.keys() & keys), _told(new, new.keys() & keys))


def _checked(text: str, name: str) -> dict[str, object]:
    """Read an edited text as it will be read for a build; raise what names the line that is wrong."""
    what = f"The edited {name}"
    for number, line in enumerate(text.split("\n"), 1):
        if not line.isascii() and any("\ud800" <= letter <= "\udfff" for letter in line):
            raise Invalid(f"{what} is broken at line {number}: it is not UTF-8.")
    values = _parsed(text, name, what)
    for key, value in values.items():
        try:
            config.check({key: value})
        except TenantryError as error:
            where = _line_in_env(text, key) if name == _SECRETS else _line_in_toml(text, key)
            raise type(error)(f"{what} is wrong{where}: {error.says}", hint=error.hint) from error
    return values


def _parsed(text: str, name: str, what: str) -> dict[str, object]:
    content = _as_read(text)
    return dict(files.parse_env(content, what)) if name == _SECRETS else files.parse_toml(content, what)


def _as_read(text: str) -> str:
    # A file is read with every kind of line end being the same.
    return io.StringIO(text, newline=None).getvalue()


def _line_in_env(text: str, key: str) -> str:
    bindings = parse_stream(io.StringIO(_as_read(text)))
    # None has it only where dotenv reads the same text in another way the second time: what is wrong is told without.
    return next((f" at line {files.line(binding)}" for binding in bindings if binding.key == key), "")


def _line_in_toml(text: str, key: str) -> str:
    """Find where a key of the top level is set first: where all above is whole and does not have it yet."""
    lines = _as_read(text).split("\n")
    begins = re.compile(rf"\s*(?:\[\[?\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    for number, line in enumerate(lines, 1):
        if begins.match(line):
            with suppress(ValueError):
                if key not in tomllib.loads("\n".join(lines[: number - 1])):
                    return f" at line {number}"
    return ""


def _commit(desk: Desk, tenant: Tenant, verb: str, pages: Sequence[_Page]) -> Changed:
    """Write the files and the journal line, or leave all as it was."""
    before = {key: value for page in pages for key, value in page.before.items()}
    after = {key: value for page in pages for key, value in page.after.items()}
    by = By(desk.who, verb, {"files": [page.path.name for page in pages]}, before, after)
    keys = tuple(sorted(before.keys() | after.keys()))
    if desk.dry_run:
        return Changed(desk.registry.touch(tenant.uid, by), True, keys)
    with kept(desk, tenant, desk.instance.placement(tenant.uid)):
        for page in pages:
            with disk.writing(str(page.path), hint=AS_IT_WAS):
                disk.replace(page.path, page.text.encode())
        touched = desk.registry.touch(tenant.uid, by)
    return Changed(touched, True, keys)


def _text(path: Path) -> str:
    """Read a file that was found readable, its line ends as they are, unless they are of a kind that TOML has not."""
    text = (content(path) or b"").decode()
    return text if "\r" not in text.replace("\r\n", "") else _as_read(text)


def _values(path: Path) -> Mapping[str, object]:
    """Read the tenant's other file; that it is broken as well must not keep this one from being mended."""
    with suppress(TenantryError):
        return files.read_env(path)
    return {}


@contextmanager
def _changing(desk: Desk, tenant: Tenant) -> Iterator[Tenant]:
    """Be the only one who changes a tenant's files, in a folder that stays where it is; a dry run only looks.

    Yields the tenant as it is then. A change that was cut short is brought to its end first.
    """
    placement = desk.instance.placement(tenant.uid)
    with ExitStack() as stack:
        if not desk.dry_run:
            stack.enter_context(underway.holding(desk, tenant.uid, _PATIENCE))
        found = desk.registry.by_uid(tenant.uid)
        if found.status in GONE:
            raise Refused(f"{tenant.name} was removed meanwhile; its config is as it was.")
        if not desk.dry_run:
            recover(desk, found)
            stack.callback(placement.hold().close)
        stack.enter_context(locked(placement.folder))
        yield found


def _see_unhidden(hidden: Mapping[str, object], keys: Iterable[str]) -> None:
    found = sorted(hidden.keys() & set(keys))
    if found:
        raise Refused(
            f"{found[0]} is a secret of this tenant already, and a secret wins over config.toml.",
            hint="Set it with --secret, or unset it first.",
        )


def _differ(old: object, new: object) -> bool:
    return config.spelled(old) != config.spelled(new)


def _told(values: Mapping[str, object], keys: Iterable[str]) -> dict[str, object]:
    return {key: config.told(key, values[key]) for key in keys if key in values}


def _hidden(keys: Iterable[str]) -> dict[str, object]:
    return dict.fromkeys(keys, config.MASK)
