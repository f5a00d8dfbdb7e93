"""The whole gateway from 8 threads, beside itself from one thread; the manual's recipe in the detail."""

from functools import partial
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.gateway import ENVIRON, candidates
from tests.benchmarks.timing import Series, calls_in, interleave, per_call

THREADS = 8


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure what the gateway adds to one request when eight threads share the interpreter."""
    with candidates(folder) as applications:
        # The interpreter lets a thread run for 5 ms: a block must be long enough for many such turns of each.
        seconds = effort.choose(400, 50) / 1000
        calls = {name: calls_in(seconds, application, ENVIRON) for name, application in applications.items()}
        cost = interleave(
            {
                f"{name} {threads}": partial(per_call, application, ENVIRON, calls[name], threads)
                for name, application in applications.items()
                for threads in (1, THREADS)
            },
            effort.choose(15, 2),
        )
    one, many = _added(cost, "ours", 1), _added(cost, "ours", THREADS)
    recipe_one, recipe_many = _added(cost, "recipe", 1), _added(cost, "recipe", THREADS)
    return [
        Figure(
            name="gateway from 8 threads",
            what="added to a trivial application by the whole gateway from 8 threads, against the same from one",
            unit="us",
            measured=many,
            baseline=one,
            value=ratio(many, one),
            reach=Reach(limit=1.1),
            detail=f"ProxyFix and recipe: {recipe_many:.2f} against {recipe_one:.2f} us, "
            f"{ratio(recipe_many, recipe_one):.2f}x",
        )
    ]


def _added(cost: Series, name: str, threads: int) -> float:
    return cost.added(f"{name} {threads}", to=f"bare {threads}")
