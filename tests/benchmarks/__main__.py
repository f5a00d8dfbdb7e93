"""Measure the figures and print them as a table; exit with 1 if one is not reached.

python -m tests.benchmarks                 all of them, some minutes
python -m tests.benchmarks dispatch cold   some of them
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import edges, tools
from tests.benchmarks import (
    burst,
    cold,
    dispatch,
    edge_doctor,
    edge_proofs,
    edge_rate,
    edge_render,
    following,
    front_attack,
    front_cost,
    front_coverage,
    front_forwarding,
    front_in,
    front_life,
    front_proofs,
    front_scarce,
    gateway,
    load,
    memory,
    million,
    neighbours,
    proofs,
    serving,
    strangers,
    threads,
)
from tests.benchmarks.figure import Effort, Figure, Measure, shown

MEASURES: Mapping[str, Measure] = {
    "dispatch": dispatch.measure,
    "gateway": gateway.measure,
    "threads": threads.measure,
    "serve": serving.measure,
    "cold": cold.measure,
    "memory": memory.measure,
    "burst": burst.measure,
    "neighbours": neighbours.measure,
    "strangers": strangers.measure,
    "following": following.measure,
    "million": million.measure,
    "kills": proofs.kills,
    "rivals": proofs.rivals,
    "faults": proofs.faults,
    "writers": proofs.writers,
    "grammar": proofs.grammar,
    "descriptors": front_scarce.descriptors,
    "streams": front_scarce.streams,
    "forwarding": front_forwarding.measure,
    "raw": front_in.raw,
    "siege": front_in.siege,
    "attack": front_attack.measure,
    "canaries": front_proofs.canaries,
    "replays": front_proofs.replays,
    "hosts": front_proofs.hosts,
    "cost": front_cost.measure,
    "coverage": front_coverage.measure,
    "drains": front_life.drains,
    "restarts": front_life.restarts,
    "render": edge_render.measure,
    "agree": edge_proofs.agree,
    "spoofs": edge_proofs.spoofs,
    "changes": edge_proofs.changes,
    "large": edge_proofs.large,
    "edge": edge_rate.measure,
    "misconfigured": edge_doctor.measure,
}
_NEED_WRK = {"serve", "neighbours", "edge"}
_NEED_NGINX = {"agree", "spoofs", "changes", "large", "edge", "misconfigured"}


def main(arguments: Sequence[str]) -> int:
    """Measure what the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: shows that it runs, not how fast it is")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in MEASURES]:
        parser.error(f"there is no figure {unknown[0]}; there are {', '.join(MEASURES)}")
    chosen = given.names or list(MEASURES)
    try:
        settle(chosen)
    except tools.Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    figures, failed = measure(chosen, Effort(given.quick))
    print(as_json(figures, failed) if given.json else as_table(figures, failed))
    return 1 if failed or not all(figure.met for figure in figures) else 0


def settle(chosen: Sequence[str]) -> None:
    """Find wrk and nginx if they are needed, then drop the operator's own settings, which no figure shall depend on."""
    if _NEED_WRK & set(chosen):
        load.wrk()
    if _NEED_NGINX & set(chosen):
        edges.system()
    for key in [key for key in os.environ if key.startswith("TENANTRY_")]:
        del os.environ[key]


def measure(chosen: Sequence[str], effort: Effort) -> tuple[list[Figure], dict[str, str]]:
    """Measure one after the other; what cannot be measured is told of and does not keep the others back."""
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name in chosen:
        print(f"{name} ...", end="", file=sys.stderr, flush=True)
        begin = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as folder:
                figures += MEASURES[name](effort, Path(folder))
        except Exception as error:
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
        print(f" {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return figures, failed


def as_json(figures: Sequence[Figure], failed: Mapping[str, str]) -> str:
    """Spell everything as JSON."""
    return json.dumps({"figures": [figure.facts() for figure in figures], "failed": dict(failed)}, indent=2)


def as_table(figures: Sequence[Figure], failed: Mapping[str, str]) -> str:
    """Spell everything as a table, with what was measured, and how often, below it."""
    rows = [("figure", "measured", "baseline", "value", "reach", ""), *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    lines.append("")
    lines += [f"{figure.name}: {figure.what}{f' ({figure.detail})' if figure.detail else ''}" for figure in figures]
    lines += [f"{name} could not be measured: {why}" for name, why in failed.items()]
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        shown(figure.measured, figure.unit),
        "" if figure.baseline is None else shown(figure.baseline, figure.unit),
        shown(figure.value, figure.reach.unit),
        str(figure.reach),
        "met" if figure.met else "NOT MET",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
