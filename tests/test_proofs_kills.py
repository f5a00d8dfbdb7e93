"""Whatever an operator's verb is at when it is killed, it is whole or absent, and what it acknowledged is there."""

from pathlib import Path
from random import SystemRandom

import pytest

from tests.proofs import kills
from tests.proofs.kills import Tally
from tests.proofs.verbs import VERBS, Verb

RUNS, FULL_RUNS = 20, 1000
_each_verb = pytest.mark.parametrize("verb", VERBS, ids=[verb.name for verb in VERBS])


def seed() -> int:
    return SystemRandom().getrandbits(32)


def holds(tally: Tally, runs: int) -> None:
    if tally.faults:
        pytest.fail(
            "\n".join([str(tally), *(f"{fault.kind}: {fault.says}" for fault in tally.faults[:5])]), pytrace=False
        )
    assert tally.runs == runs
    assert tally.early, "no kill came before the end"


@_each_verb
def test_a_verb_that_is_killed_is_whole_or_absent(tmp_path: Path, verb: Verb) -> None:
    holds(kills.kill_verb(tmp_path, verb, RUNS, seed()), RUNS)


def test_a_recovery_that_is_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    holds(kills.kill_recovery(tmp_path, RUNS, seed()), RUNS)


@pytest.mark.full
@_each_verb
def test_a_verb_that_is_killed_a_thousand_times_is_whole_or_absent(tmp_path: Path, verb: Verb) -> None:
    holds(kills.kill_verb(tmp_path, verb, FULL_RUNS, seed()), FULL_RUNS)


@pytest.mark.full
def test_a_recovery_that_is_killed_a_thousand_times_is_finished_by_the_next(tmp_path: Path) -> None:
    holds(kills.kill_recovery(tmp_path, FULL_RUNS, seed()), FULL_RUNS)
