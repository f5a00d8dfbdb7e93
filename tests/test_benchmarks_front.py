"""What measures the front door runs and counts right; what it times is no test's matter."""

from pathlib import Path

import pytest

from tests.benchmarks import front_cost, front_coverage
from tests.benchmarks.figure import Effort, never

QUICK = Effort(quick=True)


def test_the_front_door_is_measured_against_proxyfix_and_the_recipe(tmp_path: Path) -> None:
    (cost,) = front_cost.measure(QUICK, tmp_path)
    assert cost.reach.limit == pytest.approx(1.5 * 1.29, abs=0.01)
    assert cost.measured > 0
    assert cost.baseline
    assert cost.value == cost.measured / cost.baseline


def test_a_room_is_covered_when_each_line_and_branch_of_its_files_is() -> None:
    whole = {"num_statements": 6, "covered_lines": 6, "num_branches": 4, "covered_branches": 4}
    half = {"num_statements": 6, "covered_lines": 5, "num_branches": 4, "covered_branches": 2}
    files = {
        "platform/tenantry/address.py": {"summary": whole, "missing_lines": [], "missing_branches": []},
        "platform/tenantry/pool/pool.py": {"summary": whole, "missing_lines": [], "missing_branches": []},
        "platform/tenantry/pool/live.py": {"summary": half, "missing_lines": [7], "missing_branches": [[3, 4], [7, 8]]},
    }
    address, pool, fences = front_coverage.figures(files, ("address", "pool", "fences"))
    assert (address.value, address.met) == (100, True)
    assert (pool.value, pool.met, pool.detail) == (85, False, "pool/live.py:7; pool/live.py:3->4")
    assert not fences.met, "a room without files is not there"


def test_what_is_never_to_happen_is_met_only_by_none() -> None:
    good, bad = never("a", "what", [], 10_000, "all well"), never("a", "what", ["one", "two"], 10)
    assert (good.met, good.unit, good.detail) == (True, "of 10,000", "all well")
    assert (bad.met, bad.value, bad.detail) == (False, 2, "first: one")
