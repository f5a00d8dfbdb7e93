"""The edge: what stands in front of the server, as text made of settings and addresses. It reads no file."""

from tenantry.edge.compare import compare
from tenantry.edge.nginx import nginx
from tenantry.edge.systemd import Place, systemd
from tenantry.edge.values import Rendered

__all__ = ["Place", "Rendered", "compare", "nginx", "systemd"]
