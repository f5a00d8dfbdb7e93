"""Dispatch: environ -> address -> lease -> live application -> a body that ends the lease.

`SubdomainDispatcher` and `PathDispatcher` stand in for the classes of the same names in Flask's manual, with nothing
else of the platform needed. Which tenants are stored where, and how one is built, is not known here.
"""

from tenantry.dispatch.body import serve
from tenantry.dispatch.dispatchers import DomainDispatcher, PathDispatcher, SubdomainDispatcher, remember
from tenantry.dispatch.leasing import Leasing

__all__ = ["DomainDispatcher", "Leasing", "PathDispatcher", "SubdomainDispatcher", "remember", "serve"]
