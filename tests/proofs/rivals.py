"""Sixteen processes at one tenant, half of them with one verb and half with another: who wins, and what is left.

Where two verbs exclude each other exactly one process changes something. Where one may follow the other, the journal
must be one serial history that has a line for everybody who was told that something was changed. Whoever loses is told
so in words, and nobody waits for ever.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenantry.operations import Clone, Maintenance, NewTenant, Operations
from tests.dns import believing
from tests.proofs import stage
from tests.proofs.crew import Crew, Outcome, Part
from tests.proofs.flaws import flaws, unserial
from tests.proofs.verbs import Act, prepare

CREW = 16
DEADLINE = 10.0
_FAMILIES = {"Invalid", "Unknown", "Refused", "Unavailable"}
_DOMAIN = "shop.example.org"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two verbs at once. `alone` tells that only one process may win; else one may follow the other.

    `left` says what is wrong with what is left, from what each member was told.
    """

    name: str
    one: Part
    other: Part
    before: Sequence[Act] = ()
    alone: bool = True
    left: Callable[[Operations, Sequence[Outcome]], list[str]] = lambda *_: []


def _add(operations: Operations, _: int) -> object:
    return operations.add(NewTenant("fresh", config={"SIGN_UP_OPEN": True}))


def _clone(operations: Operations, _: int) -> object:
    return operations.clone("acme", Clone("fresh"))


def _rename(to: str) -> Part:
    return lambda operations, _: operations.rename("acme", to)


def _remove(operations: Operations, _: int) -> object:
    return operations.remove("acme")


def _undo(operations: Operations, _: int) -> object:
    return operations.undo_remove("acme")


def _purge(operations: Operations, _: int) -> object:
    return operations.purge("acme")


def _suspend(operations: Operations, _: int) -> object:
    return operations.suspend("acme", "unpaid")


def _maintain(operations: Operations, _: int) -> object:
    return operations.maintenance_on("acme", Maintenance())


def _domain(name: str) -> Part:
    return lambda operations, _: operations.domain_add(name, _DOMAIN, trust=True)


def _claims(operations: Operations) -> object:
    return [operations.domain_add(name, _DOMAIN) for name in ("acme", "globex")]


def _check(name: str) -> Part:
    return lambda operations, _: believing(operations).domain_check(name, _DOMAIN)


def _set(operations: Operations, member: int) -> object:
    return operations.config_set("acme", {"COLOUR": f"colour {member}"})


def _removed(operations: Operations) -> object:
    return operations.remove("acme")


def _last_colour(operations: Operations, outcomes: Sequence[Outcome]) -> list[str]:
    """The last one that the journal tells of is in the file, and it is that of somebody who was told so."""
    told = {entry.after.get("COLOUR") for entry in operations.journal("acme")}
    kept = {value.key: value.shown for value in operations.config_show("acme")}["COLOUR"]
    last = next(entry.after["COLOUR"] for entry in operations.journal("acme") if "COLOUR" in entry.after)
    wrong = [f"colour {some.member} is in no line" for some in outcomes if some.changed and _colour(some) not in told]
    return wrong if kept == last else [*wrong, f"{kept} is in the file, {last} in the journal's last line"]


def _colour(outcome: Outcome) -> str:
    return f"colour {outcome.member}"


def _gone(operations: Operations, outcomes: Sequence[Outcome]) -> list[str]:
    """Whoever removes a tenant has the last word."""
    removed = any(outcome.changed for outcome in outcomes[CREW // 2 :])
    return ["it was removed and stands"] if removed and operations.get("acme").status != "removed" else []


PAIRS = (
    Pair("add / add", _add, _add),
    Pair("add / clone", _add, _clone),
    Pair("clone / clone", _clone, _clone),
    Pair("rename / rename", _rename("apex"), _rename("zenith")),
    Pair("rename / add", _rename("fresh"), _add),
    Pair("rename / remove", _rename("apex"), _remove),
    Pair("remove / remove", _remove, _remove),
    Pair("undo remove / purge", _undo, _purge, (_removed,)),
    Pair("undo remove / undo remove", _undo, _undo, (_removed,)),
    Pair("purge / purge", _purge, _purge, (_removed,)),
    Pair("domain add / domain add", _domain("acme"), _domain("globex")),
    Pair("domain check / domain check", _check("acme"), _check("globex"), (_claims,)),
    Pair("suspend / remove", _suspend, _remove, alone=False, left=_gone),
    Pair("maintenance on / suspend", _maintain, _suspend, alone=False),
    Pair("config set / config set", _set, _set, alone=False, left=_last_colour),
)


@dataclass(slots=True)
class Score:
    """What came of the rounds of one pair; `won` counts the rounds by the verb that won, `slowest` is in seconds."""

    pair: str
    rounds: int = 0
    verbs: int = 0
    won: list[int] = field(default_factory=lambda: [0, 0])
    refusals: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    stuck: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{number} {family}" for family, number in sorted(self.refusals.items()))
        return (
            f"{self.pair}: {self.rounds} rounds, won {self.won[0]}/{self.won[1]}, {told}; slowest verb "
            f"{self.slowest * 1e3:.0f} ms, {self.stuck} stuck, {len(self.faults)} faults"
        )


def run(folder: Path, rounds: int, chosen: Sequence[str] = ()) -> list[Score]:
    """Let the crew play so many rounds of each pair; give a score for each."""
    base = prepare(folder / "base")
    warm(folder, base)
    pairs = [pair for pair in PAIRS if not chosen or pair.name in chosen]
    with Crew([part for pair in pairs for part in (pair.one, pair.other)], CREW, DEADLINE) as crew:
        return [_Match(pair, 2 * number, crew).play(folder, base, rounds) for number, pair in enumerate(pairs)]


def warm(folder: Path, base: Path) -> None:
    """Load in this process what the verbs need, so that those it forks begin at once."""
    root = stage.copy(base, folder / "warm")
    with stage.opened(root) as operations:
        _clone(operations, 0)
        _set(operations, 0)
        operations.config_show("acme")
        _remove(operations, 0)
        _purge(operations, 0)
    shutil.rmtree(root)


class _Match:
    """The rounds of one pair; its verbs are the parts `first` and `first + 1` of the crew."""

    def __init__(self, pair: Pair, first: int, crew: Crew) -> None:
        self._pair = pair
        self._first = first
        self._crew = crew
        self._score = Score(pair.name)
        self._lines = 0

    def play(self, folder: Path, base: Path, rounds: int) -> Score:
        start = stage.copy(base, folder / "start")
        with stage.opened(start) as operations:
            for act in self._pair.before:
                act(operations)
        self._lines = len(stage.history(start))
        for turn in range(rounds):
            root = stage.copy(start, folder / "round")
            # In turn, so that neither verb is always the one that is told to begin first.
            self._round(root, [(member + turn) % 2 for member in range(CREW)])
            shutil.rmtree(root)
        shutil.rmtree(start)
        return self._score

    def _round(self, root: Path, sides: Sequence[int]) -> None:
        found = self._crew.play(root, [self._first + side for side in sides])
        outcomes = [outcome for outcome in found if outcome is not None]
        outcomes.sort(key=lambda outcome: sides[outcome.member])
        self._count(outcomes, sides)
        winners = [outcome for outcome in outcomes if outcome.changed]
        faults = [f"a member was told {outcome}" for outcome in outcomes if _unclear(outcome)]
        if len(winners) != 1 if self._pair.alone else not winners:
            faults.append(f"{len(winners)} winners: {winners or outcomes}")
        faults += _left(root, self._pair, outcomes, self._lines)
        self._score.faults += [f"{self._pair.name}, round {self._score.rounds}: {says}" for says in faults]

    def _count(self, outcomes: Sequence[Outcome], sides: Sequence[int]) -> None:
        score = self._score
        score.rounds += 1
        score.verbs += CREW
        score.stuck += CREW - len(outcomes)
        score.slowest = max([score.slowest, *(outcome.seconds for outcome in outcomes)])
        for side in (0, 1):
            score.won[side] += any(outcome.changed and sides[outcome.member] == side for outcome in outcomes)
        for told in [outcome.family or "unchanged" for outcome in outcomes if not outcome.changed]:
            score.refusals[told] = score.refusals.get(told, 0) + 1


def _unclear(outcome: Outcome) -> bool:
    """Tell whether a member was told something that is neither a change, nor that there was none, nor why not."""
    return bool(outcome.family) and not (outcome.family in _FAMILIES and outcome.says.endswith("."))


def _left(root: Path, pair: Pair, outcomes: Sequence[Outcome], lines: int) -> list[str]:
    """Say what is wrong with what a round has left behind; nothing is recovered first, as nobody was killed."""
    found = [*flaws(root), *unserial(root)]
    if (written := len(stage.history(root)) - lines) != (won := sum(outcome.changed for outcome in outcomes)):
        found.append(f"{won} were told that something was changed, and the journal has {written} more lines")
    with stage.opened(root) as operations:
        if mended := operations.recover():
            found.append(f"there was something to mend: {mended}")
        found += pair.left(operations, outcomes)
    return found
