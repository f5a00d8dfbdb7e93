"""What the platform tells whoever listens, in the process where it happens (blinker).

The sender is the uid. Receivers run on the platform's own threads: they must be quick, and what they raise is logged.
"""

from blinker import Namespace

_tenantry = Namespace()

tenant_built = _tenantry.signal("tenant_built", "A live application was built; `tenant`, `mount`, `app`.")
tenant_disposed = _tenantry.signal("tenant_disposed", "A live application was disposed of; `tenant`, `mount`.")
tenant_changed = _tenantry.signal("tenant_changed", "The registry's word on a tenant has changed; `tenant`.")
