"""What is promised of the front door, tried as often as is quoted: canaries, replayed cookies, spelled hosts."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, never
from tests.proofs import canaries as singing
from tests.proofs import hosts as hearing
from tests.proofs import replays as replaying


def canaries(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Look for canaries of one tenant in whatever belongs to another."""
    plan = singing.SMALL if effort.quick else singing.FULL
    tally = singing.run(folder, plan)
    what = f"{plan.tenants:,} tenants, {plan.processes * plan.threads} threads, evictions every {plan.period:g} s"
    wrong = [*tally.wrong, *(f"no canary was seen in {medium}" for medium in tally.unseen)]
    return [
        never("canaries: foreign", f"canaries of another tenant: {what}", tally.told, tally.requests, str(tally)),
        never("canaries: wrong", "other faults of what was answered, set and logged", wrong, tally.requests),
    ]


def replays(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Show session and remember-me cookies of each tenant at every other one."""
    figures = []
    for equal_keys, keys in ((False, "distinct"), (True, "forced equal")):
        (folder / keys).mkdir()
        replayed = replaying.run(folder / keys, effort.choose(200, 6), equal_keys=equal_keys)
        what = f"sessions and remember-me cookies accepted at another tenant, key files {keys}"
        refused = [f"refused where it came from: {cookie}" for cookie in replayed.refused]
        wrong = [*replayed.accepted, *refused]
        figures.append(never(f"replays: keys {keys}", what, wrong, replayed.pairs, str(replayed)))
    return figures


def hosts(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Put generated Hosts to the rule by which they are read, and to what the RFCs say."""
    wrong, told, tried = list[str](), "", 0
    try:
        heard = hearing.run(folder, effort.choose(1_000_000, 5000))
        tried, told = heard.hosts, str(heard)
    except AssertionError as error:
        wrong = [str(error)]
    return [
        never("hosts", "Hosts that lead elsewhere than DNS says, or raise anything but Invalid", wrong, tried, told)
    ]
