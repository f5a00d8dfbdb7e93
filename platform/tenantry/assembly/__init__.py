"""The only place where everybody is introduced: what is opened here is closed here, in reverse.

`desk` opens what an operator's verb needs, `platform` what serves requests, `serving` runs a server around it.
"""

from tenantry.assembly.desk import open_operations
from tenantry.assembly.platform import Platform, open_platform
from tenantry.assembly.serving import Started, dev, serve

__all__ = ["Platform", "Started", "dev", "open_operations", "open_platform", "serve"]
