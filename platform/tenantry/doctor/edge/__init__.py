"""Real requests through what stands in front: what they say when they arrive, and the line to change where it is wrong.

Each part of it is a file. Nothing is changed by them, and no tenant is asked for anything.
"""

from tenantry.doctor.edge.run import PARTS, edge
from tenantry.doctor.edge.way import Given

__all__ = ["PARTS", "Given", "edge"]
