"""What is promised of nginx in front of the platform, tried as often as is quoted."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Reach, never
from tests.proofs import edge_agree, edge_changes, edge_large, edge_spoofs
from tests.proofs.vast import MIB

# What the server may grow by while a gigabyte goes through it.
_FLAT = 32


def agree(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Ask nginx and the application behind it whose generated requests are."""
    agreed = edge_agree.full(folder, effort.choose(100_000, 4000))
    what = "generated requests for which nginx and the application name two different tenants"
    return [never("agree", what, agreed.wrong, agreed.requests, str(agreed))]


def spoofs(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Compare the answers to all combinations of headers that forward, or some, with the one to none."""
    spoofed = edge_spoofs.full(folder, range(0, edge_spoofs.COMBINATIONS, effort.choose(1, 41)))
    what = "answers through nginx to combinations of headers that forward which differ from the one to none"
    return [never("spoofs", what, spoofed.differ, spoofed.answers, str(spoofed))]


def changes(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Make an operator's changes behind nginx."""
    changed = edge_changes.full(folder, effort.choose(20, 1))
    what = "changes of an operator that visitors of nginx do not see as they should within a second"
    seen = len(changed.seconds)
    return [
        never("changes", what, changed.wrong, seen, str(changed)),
        Figure(
            name="changes: slowest",
            what="the slowest of them",
            unit="s",
            measured=max(changed.seconds),
            baseline=None,
            value=max(changed.seconds),
            reach=Reach(limit=edge_changes.LIMIT, unit="s"),
        ),
        never("changes: reloads", "reloads of nginx meanwhile", [None] * changed.reloads, seen),
    ]


def large(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Carry what is large, and hang up on it."""
    load = edge_large.SMALL if effort.quick else edge_large.Load()
    held = edge_large.full(folder, load)
    what = f"bodies of {load.size} MiB, streams and hang-ups that were neither whole nor cut cleanly"
    return [
        never("large", what, held.wrong, len(held.whole) + len(held.wrong), str(held)),
        Figure(
            name="large: memory",
            what="what the server grew by at most meanwhile",
            unit="MiB",
            measured=held.server / MIB,
            baseline=None,
            value=held.server / MIB,
            reach=Reach(limit=_FLAT, unit="MiB"),
            detail=f"nginx grew by {held.nginx / MIB:.1f} MiB",
        ),
    ]
