"""What the platform tells whoever listens, in the process where it happens (blinker).

The sender is the uid. Receivers run on the platform's own threads: they must be quick, and what they raise is logged.
"""

import logging

from blinker import NamedSignal, Namespace

_log = logging.getLogger(__name__)

_tenantry = Namespace()

tenant_built = _tenantry.signal("tenant_built", "A live application was built; `tenant`, `mount`, `app`.")
tenant_disposed = _tenantry.signal("tenant_disposed", "A live application was disposed of; `tenant`, `mount`.")
tenant_changed = _tenantry.signal("tenant_changed", "The registry's word on a tenant has changed; `tenant`.")


def tell(signal: NamedSignal, uid: str, **facts: object) -> None:
    """Send a signal to each receiver; what one raises is logged, and the others are told all the same."""
    for receiver in list(signal.receivers_for(uid)):
        try:
            receiver(uid, **facts)
        except Exception:  # noqa: BLE001 - a listener's failure is its own
            _log.exception("a receiver of %s has raised", signal.name, extra={"uid": uid})
