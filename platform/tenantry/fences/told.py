"""What a fence has kept back is told once, not with every response."""

import logging

_log = logging.getLogger("tenantry.fences")

# A live application that makes up names has no line for each.
_BOUND = 100


class Told:
    """What was told of one live application; lives as long as that one, any thread may tell."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def once(self, says: str, name: str) -> None:
        """Log a warning about a name (shown already), unless the same was said before, or very much was."""
        fact = (says, name)
        if fact in self._told or len(self._told) >= _BOUND:
            return
        self._told.add(fact)
        _log.warning(says, name)
