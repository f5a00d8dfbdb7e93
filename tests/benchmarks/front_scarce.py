"""What is promised where something is scarce, tried as often as is quoted: descriptors, and places for applications."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Reach, never
from tests.proofs import descriptors as sharing
from tests.proofs import streams as streaming
from tests.proofs.descriptors import Crowd

_LIMIT = 1024


def descriptors(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Visit many tenants of a server that may have few files open."""
    crowd = Crowd(tenants=effort.choose(5000, 300), limit=_LIMIT, idle=400)
    seen = sharing.run(folder, crowd)
    asked = sum(seen.answers.values())
    crashed = ["it did not end well"] if seen.code else []
    return [
        never(
            "descriptors: lacks", "lines of the log that tell of a lack of descriptors", seen.lacks, asked, str(seen)
        ),
        never(
            "descriptors: wrong", "answers that are neither right nor 503, and crashes", [*seen.wrong, *crashed], asked
        ),
        never("descriptors: 503", "visitors who were told to come again", ["503"] * seen.answers["503"], asked),
        Figure(
            name="descriptors: most",
            what=f"the most files that were open, of {_LIMIT} that may be",
            unit="",
            measured=seen.most,
            baseline=None,
            value=seen.most,
            reach=Reach(limit=_LIMIT, unit=""),
        ),
    ]


def streams(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Read streams while live applications come and go."""
    count, evictions = effort.choose(200, 40), effort.choose(10_000, 200)
    seen = streaming.run(folder, count, evictions)
    what = f"streams that are not whole, {count} being read during {seen.evictions:,} evictions"
    return [
        never("streams: broken", what, [*seen.broken, *seen.wrong], seen.whole + len(seen.broken), str(seen)),
        never("streams: left", "descriptors and live applications more than before", seen.left, seen.evictions),
    ]
