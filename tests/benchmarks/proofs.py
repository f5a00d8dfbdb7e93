"""What is promised of the operator's verbs, tried as often as is quoted: kills, rivals, faults, writers, names."""

from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

from tests.benchmarks.figure import Effort, Figure, Reach, never
from tests.faults import matrix
from tests.proofs import grammar as naming
from tests.proofs import kills as killing
from tests.proofs import rivals as rivalling
from tests.proofs import writers as writing
from tests.proofs.verbs import VERBS

_RECOVERY = 1.0


def kills(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Kill each verb, and recovery, at random points."""
    runs, seed = effort.choose(1000, 50), SystemRandom().getrandbits(32)
    tallies = []
    for number, verb in enumerate(VERBS):
        (folder / str(number)).mkdir()
        tallies.append(killing.kill_verb(folder / str(number), verb, runs, seed))
    (folder / "recover").mkdir()
    tallies.append(killing.kill_recovery(folder / "recover", runs, seed))
    told = "; ".join(map(str, tallies))
    kinds = {
        "lost": "acknowledged verbs that are lost",
        "half made": "verbs that are neither whole nor absent",
        "disagreement": "disagreements of registry and folders",
    }
    total = sum(tally.runs for tally in tallies)
    faults = [fault for tally in tallies for fault in tally.faults]
    figures = [
        never(f"kills: {kind}", f"{what} after kill -9 at random points", [f for f in faults if f.kind == kind], total)
        for kind, what in kinds.items()
    ]
    other = [fault for fault in faults if fault.kind not in kinds]
    slowest = max(tally.slowest for tally in tallies)
    figures.append(
        never("kills: recovery", "recoveries that fail, or mend again", other, total, f"seed {seed}; {told}")
    )
    figures.append(
        Figure(
            name="kills: slowest recovery",
            what="the longest that recovering took after a kill",
            unit="s",
            measured=slowest,
            baseline=None,
            value=slowest,
            reach=Reach(limit=_RECOVERY, unit="s"),
        )
    )
    return figures


def rivals(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Let sixteen processes compete for one tenant."""
    scores = rivalling.run(folder, effort.choose(100, 3))
    verbs = sum(score.verbs for score in scores)
    told = "; ".join(map(str, scores))
    slowest = max(score.slowest for score in scores)
    faults = [fault for score in scores for fault in score.faults]
    stuck = [score.pair for score in scores for _ in range(score.stuck)]
    return [
        never(
            "rivals: wrong", f"faults of {len(scores)} pairs of verbs, 16 processes at one tenant", faults, verbs, told
        ),
        never("rivals: stuck", f"processes that did not end within {rivalling.DEADLINE:g} s", stuck, verbs),
        Figure(
            name="rivals: slowest",
            what="the longest that one of them took",
            unit="s",
            measured=slowest,
            baseline=None,
            value=slowest,
            reach=Reach(limit=rivalling.DEADLINE, unit="s"),
        ),
    ]


def faults(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Let the disk refuse each call that the verbs make, one after the other."""
    result = matrix.run_matrix(not effort.quick, folder)
    what = f"sites that are not clean when the disk refuses, of {result.sites} counted ones"
    return [never("faults", what, result.failures, result.runs)]


def writers(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Write to a tenant while it is removed, brought back, renamed and cloned."""
    written = writing.run(folder, effort.choose(50, 2))
    what = "acknowledged writes that are neither in the tenant nor in the trash"
    return [
        never("writers: lost", what, written.lost, written.acknowledged, str(written)),
        never("writers: wrong", "other faults of what they left", written.faults, sum(written.verbs.values())),
    ]


def grammar(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Put generated names and hosts to all doors."""
    wrong, told, tried = list[str](), "", 0
    try:
        verdicts = naming.run(folder, effort.choose(3000, 60))
        tried, told = sum((verdicts.names + verdicts.domains).values()) + verdicts.addresses, str(verdicts)
    except AssertionError as error:
        wrong = [str(error)]
    return [
        never("grammar", "names, hosts and addresses on which doors disagree or that are shared", wrong, tried, told)
    ]
