"""The benchmarks run and count right; what they time is no test's matter."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import burst, dispatch, million, strangers
from tests.benchmarks.figure import Effort, Figure, Reach, ratio

QUICK = Effort(quick=True)


def test_a_crowd_at_a_cold_tenant_costs_one_build_and_everybody_is_answered(tmp_path: Path) -> None:
    builds, unanswered = burst.measure(QUICK, tmp_path)
    assert builds.measured == builds.baseline
    assert unanswered.value == 0


def test_strangers_call_no_factory(tmp_path: Path) -> None:
    builds, _, _ = strangers.measure(QUICK, tmp_path)
    assert builds.value == 0


def test_a_crowded_registry_is_measured_beside_a_small_one(tmp_path: Path) -> None:
    """Each address that is visited is answered; a start, a list and a show come to their end on both."""
    figures = million.measure(QUICK, tmp_path)
    assert [figure.name for figure in figures] == [
        f"million: {name}" for name in ("start", "cold address", "memory", "list", "show")
    ]
    assert "4,000 of 20,000 tenants" in figures[2].what


def test_dispatch_is_measured_by_subdomain_and_by_path(tmp_path: Path) -> None:
    assert [figure.name for figure in dispatch.measure(QUICK, tmp_path)] == [
        "dispatch by subdomain",
        "dispatch by path",
    ]


@pytest.mark.parametrize(
    ("reach", "value", "met"),
    [
        (Reach(limit=1.5), 1.5, True),
        (Reach(limit=1.5), 1.51, False),
        (Reach(limit=1.2, least=True), 1.2, True),
        (Reach(limit=1.2, least=True), 1.19, False),
        (Reach(limit=2), ratio(1, 0), False),
    ],
)
def test_a_figure_is_met_up_to_its_limit_and_never_without_a_baseline(reach: Reach, value: float, met: bool) -> None:
    assert reach.met(value) is met


def test_the_table_and_the_json_name_every_figure_and_what_could_not_be_measured() -> None:
    figure = Figure(name="a", what="what", unit="us", measured=3, baseline=2, value=1.5, reach=Reach(limit=2))
    table = bench.as_table([figure], {"b": "no wrk"})
    assert table.splitlines()[2].split() == ["a", "3", "us", "2", "us", "1.50x", "at", "most", "2.00x", "met"]
    assert "b could not be measured: no wrk" in table
    told = json.loads(bench.as_json([figure], {"b": "no wrk"}))
    assert (told["figures"][0]["met"], told["failed"]) == (True, {"b": "no wrk"})
