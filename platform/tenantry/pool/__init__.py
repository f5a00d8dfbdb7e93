"""The pool: slots for live applications, leases on them, and the limits on both.

It knows nothing of Flask, addresses or the registry: how to build and to probe is in `given`. What a caller sees is in
`pool`; what a slot holds is in `live`; how one is built, and how builds fail, is in `build`.
"""

from tenantry.pool.build import Build
from tenantry.pool.given import Decline
from tenantry.pool.limits import Limits, Wanted
from tenantry.pool.live import Lease, Live
from tenantry.pool.pool import Pool
from tenantry.pool.short import scarce

__all__ = ["Build", "Decline", "Lease", "Limits", "Live", "Pool", "Wanted", "scarce"]
