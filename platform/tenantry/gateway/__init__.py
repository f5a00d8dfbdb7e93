"""The gateway: the order of the doors, and the one place where errors become pages."""

from tenantry.gateway.forwarding import behind_proxies
from tenantry.gateway.gateway import Doors, Gateway, within_middleware
from tenantry.gateway.probing import Probing, probed

__all__ = ["Doors", "Gateway", "Probing", "behind_proxies", "probed", "within_middleware"]
