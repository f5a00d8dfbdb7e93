"""The attack that an operator may order, on the reference application, by its command: what does not hold, how long."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import children
from tests.benchmarks.figure import Effort, Figure, Reach, never

_MINUTE = 60.0
_PATIENCE = 120.0
_QUICK = ("hosts", "paths", "framing", "cookies", "crossing")
# In the open, and as it would be behind two proxies: then names of cookies and trust are other ones.
_SETTINGS: tuple[dict[str, object], ...] = (
    {},
    {"scheme": "https", "proxies": 2, "domain": "example.com"},
)


def measure(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Attack in the open and behind proxies."""
    parts = [word for name in _QUICK if effort.quick for word in ("--part", name)]
    reports = [_report(folder, parts, settings) for settings in _SETTINGS]
    rows = [row for report in reports for row in report["rows"]]
    failed = [row["says"] for row in rows if row["verdict"] == "failed"]
    tried = sum(row["tried"] for row in rows)
    slowest = max(report["seconds"] for report in reports)
    what = "parts of `doctor --attack` that do not hold"
    return [
        never("attack: failed", what, failed, len(rows), f"{tried:,} attempts"),
        Figure(
            name="attack: time",
            what="the longer of two attacks",
            unit="s",
            measured=slowest,
            baseline=None,
            value=slowest,
            reach=Reach(limit=_MINUTE, unit="s"),
        ),
    ]


def _report(folder: Path, words: list[str], settings: dict[str, object]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tenantry", "--root", str(folder), "doctor", "--attack", "--json", *words]
    environment = children.environment(settings)
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=_PATIENCE
    )
    assert ran.stdout, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found
