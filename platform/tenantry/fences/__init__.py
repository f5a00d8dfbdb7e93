"""What may cross a tenant's border in headers and cookies. Who the tenant is, and who serves it, is not known here."""

from tenantry.fences.border import Border, fenced

__all__ = ["Border", "fenced"]
