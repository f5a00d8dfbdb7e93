"""A tenant's config: `config.toml` and `.env` edited whole, and what of them may be shown."""

import io
import re
import tomllib
from collections.abc import Iterable, Mapping

import tomlkit
from dotenv.parser import parse_stream

from tenantry.address import shown
from tenantry.builder import OWN_KEYS, files
from tenantry.errors import Invalid, Refused
from tenantry.operations import disk
from tenantry.operations.facts import Value
from tenantry.placement import Placement, locked

MASK = "********"

_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,99}", re.ASCII)
_WORDS = "SECRET|PASSW|PASSPHRASE|PWD|TOKEN|KEY|DSN|CREDENTIAL|PRIVATE|SALT|AUTH|SIGNATURE"
_SECRET_KEY = re.compile(_WORDS)
# A user name that stands alone in an http URL is most often a token; elsewhere it is a user name.
_IN_URL = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s:@]*)(?P<password>:\S*)@|(?P<web>\bhttps?://)[^/?#\s:@]+@",
    re.IGNORECASE,
)
_IN_QUERY = re.compile(rf"(?P<before>(?:^|[?&;\s])[^=&?\s]*(?:{_WORDS})[^=&\s]*=)[^&\s]+", re.IGNORECASE)


def check_keys(keys: Iterable[str]) -> None:
    """Raise Invalid for a key that is none, Refused for one that is the platform's own."""
    for key in keys:
        if not _KEY.fullmatch(key):
            near = re.sub(r"[^A-Z0-9_]+", "_", key.upper()).strip("_")
            raise Invalid(
                f"{shown(key)} is no config key: that is A-Z, 0-9 and underscores, a letter first.",
                hint=f"Try {near}." if _KEY.fullmatch(near) else "",
            )
        if key in OWN_KEYS:
            raise Refused(
                f"{key} is the platform's own: it keeps the tenants apart.", hint="The application cannot change it."
            )


def document(values: Mapping[str, object], name: str) -> str:
    """Spell a new tenant's `config.toml`."""
    made = tomlkit.document()
    made.add(tomlkit.comment(f"The config of {name}: upper-case keys, read whenever its application is built."))
    made.add(tomlkit.comment(f"`tenantry config set {name} KEY=VALUE` changes it and keeps comments."))
    return _checked(made.as_string(), made, values, ())


def secrets_document(name: str) -> str:
    """Spell a new tenant's `.env`."""
    return f"# The secrets of {name}, one KEY='value' a line; `tenantry config set {name} --secret KEY` asks for one.\n"


def read_config(placement: Placement) -> dict[str, object]:
    """Read the tenant's `config.toml`."""
    return files.read_toml(placement.config)


def read_secrets(placement: Placement) -> dict[str, str]:
    """Read the tenant's `.env`."""
    return files.read_env(placement.secrets)


def set_values(placement: Placement, values: Mapping[str, object]) -> list[str]:
    """Write values into `config.toml`, comments kept, and return the keys that were not so already."""
    with locked(placement.folder):
        old = read_config(placement)
        hidden = sorted(read_secrets(placement).keys() & values.keys())
        if hidden:
            raise Refused(
                f"{hidden[0]} is a secret of this tenant already, and a secret wins over config.toml.",
                hint="Set it with --secret, or unset it first.",
            )
        changed = {key: value for key, value in values.items() if key not in old or not _same(old[key], value)}
        if changed:
            _write_config(placement, changed, ())
        return sorted(changed)


def set_secrets(placement: Placement, values: Mapping[str, str]) -> list[str]:
    """Write values into `.env`, other lines kept, and return the keys that were not so already."""
    with locked(placement.folder):
        old = read_secrets(placement)
        changed = {key: value for key, value in values.items() if old.get(key) != value}
        if changed:
            _write_secrets(placement, changed, ())
        return sorted(changed)


def unset(placement: Placement, keys: Iterable[str]) -> list[str]:
    """Take keys out of both files, comments kept, and return those that were there."""
    wanted = set(keys)
    with locked(placement.folder):
        plain = sorted(wanted & read_config(placement).keys())
        secret = sorted(wanted & read_secrets(placement).keys())
        if plain:
            _write_config(placement, {}, plain)
        if secret:
            _write_secrets(placement, {}, secret)
        return sorted({*plain, *secret})


def merged(layers: Iterable[tuple[str, Mapping[str, object]]], placement: Placement) -> list[Value]:
    """Merge the layers of a tenant's config, last wins, with the source of each value and secrets masked."""
    hidden = read_secrets(placement).keys()
    found: dict[str, Value] = {}
    for source, values in layers:
        for key, value in values.items():
            secret = key in hidden or is_secret(key)
            found[key] = Value(key, MASK if secret else masked(value), source, secret)
    return [found[key] for key in sorted(found)]


def is_secret(key: str) -> bool:
    """Tell by its spelling whether a key's value must not be shown; too many rather than too few."""
    return _SECRET_KEY.search(key.upper()) is not None


def masked(value: object) -> object:
    """Return the value with everything in it that looks like a secret masked: inner keys, passwords in URLs."""
    if isinstance(value, Mapping):
        return {key: MASK if is_secret(str(key)) else masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return _without_password(value) if isinstance(value, str) else value


def _without_password(text: str) -> str:
    text = _IN_URL.sub(_url_mask, text)
    return _IN_QUERY.sub(lambda found: found["before"] + MASK, text)


def _url_mask(found: re.Match[str]) -> str:
    return f"{found['web']}{MASK}@" if found["web"] else f"{found['before']}{found['user']}:{MASK}@"


def _same(old: object, new: object) -> bool:
    # True == 1 in Python, and not in an application that asks `is True`.
    return type(old) is type(new) and old == new


def _write_config(placement: Placement, values: Mapping[str, object], gone: Iterable[str]) -> None:
    text = files.text(placement.config)
    disk.replace(placement.config, _checked(text, tomlkit.parse(text), values, gone))


def _checked(text: str, made: tomlkit.TOMLDocument, values: Mapping[str, object], gone: Iterable[str]) -> str:
    """Return the edited document, once what it says is exactly what was asked; else raise Invalid."""
    expected = {**tomllib.loads(text), **values}
    for key in gone:
        del expected[key]
        made.remove(key)
    try:
        for key, value in values.items():
            made[key] = value
        edited = made.as_string()
        if tomllib.loads(edited) == expected:
            return edited
    except (TypeError, ValueError) as error:
        raise Invalid(f"{', '.join(values)} cannot be written as TOML: {error}.") from error
    raise Invalid(f"{', '.join((*values, *gone))} cannot be edited in this config.toml.", hint="Use an editor.")


def _write_secrets(placement: Placement, values: Mapping[str, str], gone: Iterable[str]) -> None:
    left, dropped = dict(values), set(gone)
    lines = []
    for binding in parse_stream(io.StringIO(files.text(placement.secrets))):
        if binding.key in dropped:
            continue
        if binding.key in values:
            if binding.key in left:
                lines.append(_secret_line(binding.key, left.pop(binding.key)))
            continue
        lines.append(binding.original.string)
    text = "".join(lines)
    if text and not text.endswith("\n"):
        text += "\n"
    text += "".join(_secret_line(key, value) for key, value in left.items())
    read_back = {binding.key: binding.value for binding in parse_stream(io.StringIO(text))}
    for key, value in values.items():
        if read_back.get(key) != value:
            raise Invalid(f"The value of {key} cannot be written into {placement.secrets}.", hint="Use an editor.")
    disk.replace(placement.secrets, text)


def _secret_line(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'\n"
