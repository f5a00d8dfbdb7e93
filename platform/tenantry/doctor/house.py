"""Checks of the platform as a whole: settings and the instance folder."""

import ipaddress
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tenantry.doctor.checks import Fault
from tenantry.placement import Instance
from tenantry.settings import Settings


def settings_faults(known: Settings) -> Iterator[Fault]:
    """Find settings that are valid one by one and wrong together."""
    if known.proxies and not _is_loopback(known.host):
        yield Fault(
            f"TENANTRY_PROXIES={known.proxies} believes the headers of whoever connects, and the server listens on "
            f"{known.host}, where anybody may.",
            "Set TENANTRY_HOST=127.0.0.1, or see that only the proxy can reach the port.",
        )
    if known.scheme == "https" and not known.proxies:
        yield Fault(
            "TENANTRY_SCHEME=https while no proxy is declared: the server itself speaks plain http only.",
            "Set TENANTRY_PROXIES to the number of proxies in front.",
        )


def instance_faults(instance: Instance) -> Iterator[Fault]:
    """Find what of the instance folder is missing, open to others, or not ours to write."""
    if not instance.root.is_dir():
        yield Fault(f"There is no folder {instance.root} yet.", "`tenantry serve` and `tenantry add` make it.")
        return
    if not instance.registry.is_file():
        yield Fault(f"There is no registry in {instance.root} yet.", "`tenantry serve` and `tenantry add` make it.")
    yield from private_faults(instance.root, 0o022)
    for folder in (instance.staging, instance.tenants, instance.trash, instance.templates):
        if folder.exists():
            yield from private_faults(folder, 0o077)
    for file in instance.root.glob(f"{instance.registry.name}*"):
        yield from private_faults(file, 0o077)


def private_faults(path: Path, forbidden: int) -> Iterator[Fault]:
    """Find mode bits that a path must not have, and whether it is ours to write."""
    try:
        found = path.stat()
    except OSError:
        return
    if stat.S_IMODE(found.st_mode) & forbidden:
        mode = stat.S_IMODE(found.st_mode) & ~forbidden
        yield Fault(f"{path} is open to others ({stat.S_IMODE(found.st_mode):04o}).", f"chmod {mode:o} {path}")
    elif not os.access(path, os.W_OK):
        yield Fault(f"{path} cannot be written by this user.", "Run as the user to whom the instance folder belongs.")


def _is_loopback(host: str) -> bool:
    if host.startswith("unix:"):  # its file's mode says who may
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in {"localhost", ""} or host.startswith(("/", "unix:"))
