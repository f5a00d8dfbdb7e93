"""What is promised of a server's end and of its replacement, tried as often as is quoted."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, never
from tests.proofs import drains as draining
from tests.proofs import restarts as restarting
from tests.proofs.restarts import Restarted


def drains(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Send SIGTERM to a server with all hands full."""
    drained = draining.run(folder, draining.Load(), effort.choose(10, 1))
    tried = drained.complete.total() + len(drained.faults)
    what = "requests that ran, waited, or had come or gone in part at SIGTERM, and were not answered whole; exits not 0"
    return [never("drains", what, drained.faults, tried, str(drained))]


def restarts(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Replace a server under load, by hand-over and on a socket that stays."""
    for name in ("hand-over", "activation"):
        (folder / name).mkdir()
    handed = restarting.hand_over(folder / "hand-over", effort.choose(20, 2), effort.choose(10_000, 500))
    activated = restarting.activate(folder / "activation", effort.choose(5, 1), effort.choose(5_000, 500))
    return [
        _failed("restarts: hand-over", "requests that failed while a server was replaced by SIGHUP", handed),
        _failed("restarts: socket activation", "requests that failed while it was stopped and started", activated),
    ]


def _failed(name: str, what: str, restarted: Restarted) -> Figure:
    wrong = [*restarted.failed, *restarted.faults]
    return never(name, what, wrong, restarted.requests, str(restarted))
