"""What a pool is given: how to build, how to probe what shall succeed another, and whom to tell how it went."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenantry.errors import reason
from tenantry.pool.limits import Wanted

_log = logging.getLogger(__name__)


class Decline(Exception):
    """Say, from a build, that there shall be no application here; `answer` is served in its place and never kept."""

    def __init__(self, answer: Any) -> None:
        super().__init__("no application here")
        self.answer = answer


def unasked(_: Any) -> None:
    """Probe nothing."""


def unheard(_: Any, __: str | None) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the pool knows of its surroundings; each may raise anything, and is never called under the lock.

    `relieve` is the pool's own: whether what a build raised came of too few descriptors, some of which are free now.
    """

    build: Callable[[Any, str], Any]
    probe: Callable[[Any], None]
    report: Callable[[Any, str | None], None]
    relieve: Callable[[BaseException], bool]

    def made(self, wanted: Any, mount: str) -> Any:
        """Build, and once more where the first try only found too few descriptors."""
        try:
            return self.build(wanted, mount)
        except BaseException as error:
            if not self.relieve(error):
                raise
        return self.build(wanted, mount)

    def tell(self, wanted: Wanted, error: BaseException | None) -> None:
        """Log and report how a build went; a report that fails must not keep those who wait for the build."""
        why = None if error is None or isinstance(error, Decline) else reason(error)
        if why is not None:
            _log.error("a build has failed: %s", why, exc_info=error, extra={"uid": wanted.uid})
        try:
            self.report(wanted, why)
        except Exception:  # noqa: BLE001 - the registry may raise what it likes
            _log.exception("nobody could be told how a build went", extra={"uid": wanted.uid})
