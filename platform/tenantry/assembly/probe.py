"""The secret of the probe page: made when a server opens the instance folder, read by who asks that page."""

import logging
import os
import secrets

from tenantry.errors import TenantryError, Unavailable, Unknown
from tenantry.gateway import probing
from tenantry.locks import locked
from tenantry.placement import Instance
from tenantry.policy import granted
from tenantry.settings import Settings

_log = logging.getLogger(__name__)

_LENGTH = 64
_PATIENCE = 5.0
_SAMPLE = "nginx sends files.\n"
# What the page may tell of the settings: nothing that is a secret, or somebody's folder.
_TOLD = (
    *("domain", "scheme", "public_port", "proxies", "max_header", "max_body", "header_wait", "body_wait", "send_wait"),
    *("keep_alive", "edge_http_port", "edge_domains", "edge_hsts", "edge_http2", "edge_wait", "edge_files"),
)


def own(instance: Instance) -> bytes:
    """Return the secret of this folder, made if there is none yet; nothing where the disk does not take it.

    That keeps nobody from serving: the page is not there, and the log says why.
    """
    try:
        return _read(instance) or _made(instance)
    except (OSError, TenantryError) as error:
        _log.warning("there is no probe page: %s", error)
        return b""


def sample(instance: Instance, known: Settings) -> str:
    """Lay out the file by which nginx is asked whether it sends any, and return its address, empty where it sends none.

    Who asks is told that it is not there, if it cannot be made.
    """
    if not granted(known).sends_files:
        return ""
    try:
        instance.sample.write_text(_SAMPLE)
        instance.sample.chmod(0o644)
    except OSError as error:
        _log.warning("there is no sample for nginx to send: %s", error)
    return "/-/files/sample"


def token(known: Settings) -> str:
    """Make a token for the probe page of the servers on an instance folder; Unknown where none has served there yet."""
    instance = Instance(known.instance)
    try:
        secret = _read(instance)
    except OSError as error:
        raise Unavailable(
            f"The secret {instance.probe} cannot be read: {error.strerror}.", hint="Run it as the user of the server."
        ) from error
    if not secret:
        raise Unknown(f"No server has run on {instance.root} yet.", hint="Start it, and do this again.")
    return probing.token(secret)


def told(known: Settings) -> dict[str, object]:
    """Choose the settings that the page tells."""
    return {name: getattr(known, name) for name in _TOLD}


def _read(instance: Instance) -> bytes:
    """Read the secret; nothing where there is none, or no whole one."""
    try:
        found = instance.probe.read_bytes().strip()
    except FileNotFoundError:
        return b""
    return found if len(found) == _LENGTH else b""


def _made(instance: Instance) -> bytes:
    """Make the secret, of several processes the first, and return it."""
    with locked(instance.root, _PATIENCE):
        found = _read(instance)
        if found:
            return found
        made = secrets.token_hex(_LENGTH // 2).encode()
        draft = instance.probe.with_name(f"{instance.probe.name}.new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made + b"\n")
        draft.replace(instance.probe)
        return made
