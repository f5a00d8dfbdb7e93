"""An attack on a scratch instance with the operator's own applications and settings: what held, and what did not.

Each part of it is a file. It runs real servers as processes, and clients that behave as badly as clients can.
"""

from tenantry.doctor.attack.run import PARTS, attack, named
from tenantry.doctor.attack.verdicts import Note, Part, Report, Row, Verdict

__all__ = ["PARTS", "Note", "Part", "Report", "Row", "Verdict", "attack", "named"]
