"""The layers of a tenant's config, last wins, and the platform's own keys, which win over all."""

import copy
import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Config

from tenantry import databases
from tenantry.address import shown
from tenantry.builder import files
from tenantry.errors import Invalid, Unavailable
from tenantry.placement import Placement
from tenantry.tenant import Tenant

Layer = tuple[str, dict[str, object]]

_COOKIES = ("NAME", "PATH", "DOMAIN", "SECURE", "HTTPONLY")
OWN_KEYS = frozenset(
    {"SECRET_KEY", "SECRET_KEY_FALLBACKS", "SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_BINDS", "APPLICATION_ROOT"}
    | {"SERVER_NAME", "PUBLIC_URL", "TENANT_UID", "TENANT_NAME"}
    | {f"SESSION_COOKIE_{part}" for part in _COOKIES}
    | {f"REMEMBER_COOKIE_{part}" for part in _COOKIES}
)

# One connection is kept and as many more are opened as requests need at a time: an idle tenant costs three descriptors.
PLATFORM_DEFAULTS: dict[str, object] = {
    "SESSION_COOKIE_SAMESITE": "Lax",
    "REMEMBER_COOKIE_SAMESITE": "Lax",
    "SQLALCHEMY_ENGINE_OPTIONS": {"pool_size": 1, "max_overflow": -1},
}


def _checked(found: Mapping[str, object], path: Path) -> dict[str, object]:
    for key in found:
        if not key.isupper():
            raise Invalid(f"{path} holds {shown(key)}, which is no config key.", hint="Flask reads only A-Z keys.")
        if key in OWN_KEYS:
            raise Invalid(f"{path} sets {key}, which is the platform's own.", hint="Take the line out.")
    return dict(found)


def layers(tenant: Tenant, defaults: Path | None, placement: Placement) -> list[Layer]:
    """Read everything below the platform's own keys, each layer with the name of its source."""
    title: dict[str, object] = {"SITE_TITLE": tenant.title} if tenant.title else {}
    return [
        ("platform", copy.deepcopy(PLATFORM_DEFAULTS)),
        ("application", _checked(files.read_toml(defaults), defaults) if defaults else {}),
        ("title", title),
        ("config.toml", _checked(files.read_toml(placement.config), placement.config)),
        (".env", _checked(files.read_env(placement.secrets), placement.secrets)),
    ]


def secret_key(placement: Placement, uid: str) -> str:
    """Derive the tenant's SECRET_KEY: HMAC-SHA256 of its uid by its key file, so that equal files differ yet."""
    try:
        key = placement.key.read_bytes()
    except OSError as error:
        raise Unavailable(f"The key {placement.key} cannot be read: {error.strerror}.") from error
    if len(key) < 32:
        raise Unavailable(f"The key {placement.key} is too short to be whole.", hint="Restore it from a backup.")
    return hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()


def own(tenant: Tenant, mount: str, placement: Placement, url: str) -> dict[str, object]:
    """Make the keys that keep tenants apart.

    `url` is the public address; its scheme, not the request's, decides on Secure. On a subdomain under https the
    cookies are `__Host-` ones; under a mount they are bound to its path.
    """
    secure = url.startswith("https:")
    prefix = "__Host-" if secure and not mount else ""
    path = f"{mount}/"
    made: dict[str, object] = {
        "SECRET_KEY": secret_key(placement, tenant.uid),
        "SECRET_KEY_FALLBACKS": None,
        "SQLALCHEMY_DATABASE_URI": databases.url(placement),
        "SQLALCHEMY_BINDS": {},
        "APPLICATION_ROOT": mount or "/",
        "SERVER_NAME": None,
        "PUBLIC_URL": url,
        "TENANT_UID": tenant.uid,
        "TENANT_NAME": tenant.name,
    }
    for cookie in ("SESSION", "REMEMBER"):
        made[f"{cookie}_COOKIE_NAME"] = f"{prefix}{cookie.lower()}_{tenant.uid}"
        made[f"{cookie}_COOKIE_PATH"] = path
        made[f"{cookie}_COOKIE_DOMAIN"] = None
        made[f"{cookie}_COOKIE_SECURE"] = secure
        made[f"{cookie}_COOKIE_HTTPONLY"] = True
    return made


class Settled(Config):
    """The config of a live application: the platform's own keys stay as they were verified."""

    def __setitem__(self, key: str, value: Any) -> None:
        if key in OWN_KEYS and key in self and self[key] != value:
            raise RuntimeError(f"{key} is the platform's own and cannot be changed.")
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        _see_free(key)
        super().__delitem__(key)

    def update(self, *others: Any, **values: Any) -> None:
        """Set several keys, none of which is the platform's own."""
        for key, value in dict(*others, **values).items():
            self[key] = value

    def __ior__(self, other: Any) -> "Settled":  # type: ignore[misc]
        self.update(other)
        return self

    def pop(self, key: str, *default: Any) -> Any:
        """Take a key out that is not the platform's own."""
        _see_free(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Refuse: nobody knows whose key it would be."""
        raise RuntimeError("The config holds keys of the platform's own, which cannot be taken out.")

    def clear(self) -> None:
        """Refuse: some keys are the platform's own."""
        self.popitem()


def _see_free(key: str) -> None:
    if key in OWN_KEYS:
        raise RuntimeError(f"{key} is the platform's own and cannot be taken out.")


def settle(config: Config) -> None:
    """Keep the platform's own keys in an application's config from being changed while it lives."""
    config.__class__ = _settled(type(config))  # the object stays the same: views and extensions hold it already


@lru_cache(maxsize=64)
def _settled(kind: type[Config]) -> type[Config]:
    return Settled if kind is Config else type(kind.__name__, (Settled, kind), {})
