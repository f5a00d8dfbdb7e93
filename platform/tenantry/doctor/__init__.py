"""Checks an operator can run: what is so, and what to do where it is not as it should be. Nothing is repaired here."""

from tenantry.doctor.checks import Check
from tenantry.doctor.examine import examine

__all__ = ["Check", "examine"]
