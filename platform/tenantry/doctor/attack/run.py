"""The order of the parts, and the time that all of them have together."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType

from tenantry import settings
from tenantry.address import shown
from tenantry.doctor.attack import (
    caps,
    fences,
    forwarding,
    framing,
    hosts,
    neighbours,
    outage,
    paths,
    replay,
    scratch,
    slow,
    soak,
    standing,
    stopping,
)
from tenantry.doctor.attack.calling import OutOfTime, Patience, within
from tenantry.doctor.attack.scratch import Ground, Opens, Plan
from tenantry.doctor.attack.trial import attempt
from tenantry.doctor.attack.verdicts import Note, Part, Report, Row
from tenantry.errors import Invalid

# All of it; what is left of a minute is for adding the tenants and for clearing away.
_SECONDS = 52.0
_LOOKED = 12.0

PARTS = (
    neighbours.ALIVE,
    hosts.PART,
    paths.PART,
    framing.PART,
    caps.PART,
    forwarding.PART,
    replay.PART,
    fences.COOKIES,
    fences.CROSSING,
    soak.SOAK,
    neighbours.CRASHES,
    neighbours.CHANGES,
    neighbours.SHARES,
    outage.PART,
    slow.TENANTS,
    slow.CLIENTS,
    stopping.DRAIN,
    stopping.KILL,
    soak.LOGS,
)


def attack(
    root: Path,
    overrides: Mapping[str, object] | None,
    opens: Opens,
    told: Callable[[Part], None],
    parts: Sequence[Part] = PARTS,
) -> Report:
    """Attack a scratch instance with the operator's applications and settings, and tell what held.

    `opens` opens the desk on the scratch instance, `told` hears of each part before it begins. Nothing of the
    operator's own instance is written. Raises Invalid for settings that cannot be read.
    """
    began = monotonic()
    known = settings.read(root, overrides=overrides).settings
    try:
        applications, notes = within(_LOOKED, partial(standing.look, root, known))
    except OutOfTime:
        note = Note("Your tenants could not be looked at in time.", "Does an application hang when it is imported?")
        applications, notes = (known.application,), (note,)
    plan = Plan(root, known, applications[: scratch.AT_MOST], opens)
    with _ended_well(), scratch.opened(plan) as ground:
        all_of_it = Patience(_SECONDS - (monotonic() - began))
        rows = [_tried(part, ground, all_of_it, told) for part in parts]
    return Report(tuple(rows), notes, monotonic() - began)


def _tried(part: Part, ground: Ground, all_of_it: Patience, told: Callable[[Part], None]) -> Row:
    told(part)
    return attempt(part, ground, all_of_it.shorter(part.seconds))


def named(names: Sequence[str]) -> tuple[Part, ...]:
    """Return the parts of these names in their order, or all of them for none; raise Invalid for what is none.

    The first is always among them: it sorts out which applications can be attacked at all.
    """
    known = [part.name for part in PARTS]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
            raise Invalid(f"There is no part {shown(name)} of the attack.", hint=hint)
    return tuple(part for part in PARTS if not names or part.name in {PARTS[0].name, *names})


@contextmanager
def _ended_well() -> Iterator[None]:
    """Let a SIGTERM, or a terminal that is closed, leave nothing behind: the command ends instead of dying."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
