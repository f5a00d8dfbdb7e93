"""What `tenantry edge nginx` makes of a large house, and how long that takes an operator."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Reach, never
from tests.proofs import edge_render


def measure(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Render thousands of tenants and a thousand domains, and have nginx examine it."""
    tenants, domains = effort.choose(10_000, 200), effort.choose(1000, 50)
    tally = edge_render.run(folder, tenants, domains, effort.choose(5, 1))
    what = f"{tenants:,} tenants and {domains:,} domains, live and listed"
    wrong = [*tally.complaints, *tally.wrong]
    return [
        never("render: wrong", f"complaints of nginx and poison in it: {what}", wrong, 4, str(tally)),
        Figure(
            name="render: time",
            what=f"the whole command, the slower way: {what}",
            unit="s",
            measured=tally.slowest,
            baseline=None,
            value=tally.slowest,
            reach=Reach(limit=2.0, unit="s"),
        ),
    ]
