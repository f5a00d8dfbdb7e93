"""The shared factory: tenant + application + placement -> live application, and its undoing.

`builder` builds, `probe` visits a build before it takes another's place, `config` layers the tenant's config and guards
the platform's own keys, `sharing` lets the many applications of one factory share what is equal in all, `commands` runs
an application's own command line.
"""

from tenantry.builder.builder import Builder, Built
from tenantry.builder.config import OWN_KEYS

__all__ = ["OWN_KEYS", "Builder", "Built"]
