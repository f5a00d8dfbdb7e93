"""How much of the rooms that keep tenants apart the tests run: every line, and every branch of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.children import ROOT
from tests.benchmarks.figure import Effort, Figure, Reach

ROOMS = ("address", "dispatch", "pool", "fences", "operations")
_HOUSE = Path("platform", "tenantry")
_TOLD = 8
_SUITE = ["--numprocesses=auto", "--dist=loadfile", "tests"]


def measure(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Run the whole suite, the processes that it starts included; in a hurry the tests of one room alone."""
    rooms, tests = (("address",), ["tests/test_address.py"]) if effort.quick else (ROOMS, _SUITE)
    # Tests that act as somebody else leave their data here, too.
    folder.chmod(0o777)
    _run(folder, "run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    _run(folder, "combine", "--quiet")
    _run(folder, "json", "--quiet", "-o", str(folder / "report.json"), f"--include={_HOUSE}/*")
    files = json.loads((folder / "report.json").read_text())["files"]
    return figures(files, rooms)


def _run(folder: Path, command: str, *words: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TENANTRY_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])}
    told = folder / f"{command}.log"
    with told.open("wb") as log:
        arguments = [sys.executable, "-m", "coverage", command, f"--data-file={folder / 'data'}", *words]
        code = subprocess.run(arguments, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False).returncode
    if code:
        raise AssertionError(f"coverage {command} ended with {code}: {told.read_text(errors='replace')[-3000:]}")


def figures(files: Mapping[str, Any], rooms: Iterable[str]) -> list[Figure]:
    """Make a figure of each room from what coverage says of its files."""
    return [_figure(room, {name: facts for name, facts in files.items() if _is_in(name, room)}) for room in rooms]


def _is_in(name: str, room: str) -> bool:
    parts = Path(name).relative_to(_HOUSE).parts
    return parts[0] in {room, f"{room}.py"}


def _figure(room: str, files: Mapping[str, Any]) -> Figure:
    totals = [facts["summary"] for facts in files.values()]
    there = sum(total["num_statements"] + total["num_branches"] for total in totals)
    run = sum(total["covered_lines"] + total["covered_branches"] for total in totals)
    missing = [line for name, facts in files.items() for line in _missing(name, facts)]
    percent = 100 * run / there if there else 0.0
    return Figure(
        name=f"coverage: {room}",
        what=f"lines and branches of {room} that the tests run, of {there:,} in {len(files)} files",
        unit="%",
        measured=percent,
        baseline=None,
        value=percent,
        reach=Reach(limit=100, unit="%", least=True),
        detail="; ".join([*missing[:_TOLD], *([f"{len(missing) - _TOLD} more"] if len(missing) > _TOLD else [])]),
    )


def _missing(name: str, facts: Mapping[str, Any]) -> list[str]:
    """Name the lines and the branches of a file that nothing runs."""
    lines = facts["missing_lines"]
    branches = [(begin, end) for begin, end in facts["missing_branches"] if begin not in lines]
    file = Path(name).relative_to(_HOUSE)
    return [*(f"{file}:{line}" for line in lines), *(f"{file}:{begin}->{end}" for begin, end in branches)]
