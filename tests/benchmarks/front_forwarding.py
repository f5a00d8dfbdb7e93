"""Headers that forward, in all combinations, sent to a real server."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, never
from tests.proofs import forwarding


def measure(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Compare the answers to all combinations, or some, with the one to none."""
    found = forwarding.run(folder, range(0, forwarding.COMBINATIONS, effort.choose(1, 41)))
    what = "answers to combinations of headers that forward which differ in more than the client's address"
    return [never("forwarding", what, found.differ, found.answers, str(found))]
