"""A tenant's config: how its keys are spelled, what its two files say and will say, and what of them may be shown."""

import io
import json
import re
import tomllib
from collections.abc import Iterable, Mapping

import tomlkit
from dotenv.parser import parse_stream

from tenantry import policy
from tenantry.address import shown
from tenantry.builder import OWN_KEYS, files
from tenantry.errors import Invalid, Refused
from tenantry.operations.facts import Value
from tenantry.placement import Placement

MASK = "********"

_EDIT = "`tenantry config edit` opens it in an editor."
_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,99}", re.ASCII)
_WHY_OWN = {
    "SECRET": "It is derived from the tenant's own key file, so that no sign-in at one tenant is valid at another.",
    "SQLALCHEMY": "It leads to the tenant's own database, which no other tenant may open.",
    "SESSION": "It binds the cookies to the tenant's own address.",
    "REMEMBER": "It binds the cookies to the tenant's own address.",
    "APPLICATION": "It follows from the tenant's addresses.",
    "SERVER": "It follows from the tenant's addresses.",
    "PUBLIC": "It follows from the tenant's addresses.",
    "TENANT": "It says which tenant it is.",
}
_WORDS = "SECRET|PASS|PSWD|PWD|TOKEN|KEY|DSN|CREDENTIAL|CREDS|PRIVATE|SALT|AUTH|SIGNATURE|HMAC|JWT|BEARER|WEBHOOK"
# Short words mean a secret only where they stand alone: SHOPPING is none.
_SECRET_KEY = re.compile(rf"{_WORDS}|ENCRYPT|PWORD|(?:^|_)(?:PIN|OTP|SEED|LOGIN)(?:_|$)")
# A user name that stands alone in an http URL is most often a token; elsewhere it is a user name.
_IN_URL = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s:@]*)(?P<password>:\S*)@|(?P<web>\bhttps?://)[^/?#\s:@]+@",
    re.IGNORECASE,
)
_IN_QUERY = re.compile(rf"(?P<before>(?:^|[?&;\s])[^=&?\s]*(?:{_WORDS})[^=&\s]*=)[^&\s]+", re.IGNORECASE)
_IN_HEADER = re.compile(r"(?P<before>\b(?:Bearer|Basic|Token)\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
# JSON, YAML, a header, an option of a command line: a word of a secret, what binds it to its value, the value.
# It looks from the beginning of a word only: from each letter of a long one takes seconds, and finds nothing more.
_IN_PAIR = re.compile(
    rf"""(?P<before>(?<![\w-])[\w-]*(?:{_WORDS})[\w-]*["']?(?:\s*[:=]\s*["']?|\s+(?=\S+$)))"""
    r"""(?!Bearer|Basic|Token)[^\s"',;&]+""",
    re.IGNORECASE,
)
_IN_ACCOUNT = re.compile(r"(?P<before>(?<![\w/])[\w.+-]+:)[^\s:@/]+(?=@[\w-])")
_KNOWN = re.compile(
    r"\b(?:[spr]k_(?:live|test)_\w+|gh[opsur]_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]+|AKIA[0-9A-Z]{16})"
    r"|hooks\.slack\.com/services/\S+"
)
_IN_ARMOUR = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*", re.DOTALL)


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
            raise Refused(f"{key} is the platform's own: it keeps the tenants apart.", hint="It cannot be set.")


def check(values: Mapping[str, object]) -> None:
    """Raise what `check_keys` does, and Invalid for a value that no limit of a tenant can have."""
    check_keys(values)
    policy.check(values)


def why_own(key: str) -> str:
    """Say why a key that is the platform's own cannot be set; empty for any other."""
    if key not in OWN_KEYS:
        return ""
    return f"{key} is the platform's own and cannot be set. {_WHY_OWN[key.partition('_')[0]]}"


def document(values: Mapping[str, object], name: str) -> str:
    """Spell a new tenant's `config.toml`."""
    made = tomlkit.document()
    made.add(tomlkit.comment(f"The config of {name}: upper-case keys, read whenever its application is built."))
    made.add(tomlkit.comment(f"`tenantry config set {name} KEY=VALUE` changes it and keeps comments."))
    return with_values(made.as_string(), values)


def secrets_document(name: str) -> str:
    """Spell a new tenant's `.env`."""
    return f"# The secrets of {name}, one KEY='value' a line; `tenantry config set {name} --secret KEY` asks for one.\n"


def read_config(placement: Placement) -> dict[str, object]:
    """Read the tenant's `config.toml`."""
    return files.read_toml(placement.config)


def read_secrets(placement: Placement) -> dict[str, str]:
    """Read the tenant's `.env`."""
    return files.read_env(placement.secrets)


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


def told(key: str, value: object) -> object:
    """Return the value of a key as the journal and a listing may have it."""
    return MASK if is_secret(key) else masked(value)


def masked(value: object) -> object:
    """Return the value with everything in it that looks like a secret masked: inner keys, passwords in URLs."""
    if isinstance(value, Mapping):
        return {_without_password(str(key)): told(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        befores = ["", *map(str, value)]
        options = [before.startswith("-") and is_secret(before) for before in befores]
        return [MASK if option else masked(inner) for option, inner in zip(options, value, strict=False)]
    return _without_password(value) if isinstance(value, str) else value


def _without_password(text: str) -> str:
    text = _IN_URL.sub(_url_mask, text)
    for pattern in (_IN_QUERY, _IN_HEADER, _IN_PAIR, _IN_ACCOUNT):
        text = pattern.sub(lambda found: found["before"] + MASK, text)
    return _IN_ARMOUR.sub(MASK, _KNOWN.sub(MASK, text))


def _url_mask(found: re.Match[str]) -> str:
    return f"{found['web']}{MASK}@" if found["web"] else f"{found['before']}{found['user']}:{MASK}@"


def spelled(value: object) -> str:
    """Spell a value so that two are spelled alike exactly if an application cannot tell them apart.

    Python holds True and 1 for equal; an application that asks `is True` does not.
    """
    return json.dumps(value, sort_keys=True, default=lambda inner: [type(inner).__name__, str(inner)])


def with_values(text: str, values: Mapping[str, object], gone: Iterable[str] = ()) -> str:
    """Spell a `config.toml` in which `values` are set and `gone` are not; Invalid if it cannot say just that."""
    made, expected = tomlkit.parse(text), {**tomllib.loads(text), **values}
    for key in gone:
        del expected[key]
        made.remove(key)
    try:
        for key, value in values.items():
            made[key] = value
        edited = made.as_string()
        if spelled(tomllib.loads(edited)) == spelled(expected):
            return edited
    except (TypeError, ValueError) as error:
        raise Invalid(f"{', '.join(values)} cannot be written as TOML: {error}.") from error
    raise Invalid(f"{', '.join((*values, *gone))} cannot be edited in this config.toml.", hint=_EDIT)


def with_secrets(text: str, values: Mapping[str, str], gone: Iterable[str] = ()) -> str:
    """Spell a `.env` in which `values` are set and `gone` are not, its other lines kept."""
    left, dropped = dict(values), set(gone)
    lines = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.key in dropped:
            continue
        if binding.key in values:
            if binding.key in left:
                lines.append(_secret_line(binding.key, left.pop(binding.key)))
            continue
        lines.append(binding.original.string)
    edited = "".join(lines)
    if edited and not edited.endswith("\n"):
        edited += "\n"
    edited += "".join(_secret_line(key, value) for key, value in left.items())
    read_back = {binding.key: binding.value for binding in parse_stream(io.StringIO(edited))}
    for key, value in values.items():
        if read_back.get(key) != value:
            raise Invalid(f"The value of {key} cannot be written into a .env file.", hint=_EDIT)
    return edited


def _secret_line(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'\n"
