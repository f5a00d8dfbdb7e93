"""The two ends that a verb may come to, learned from a run that nobody disturbed: absent, and whole.

What a verb that was cut short has left must look, once it is recovered, like one of them: to the last line of the book
and the last byte of a file.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tenantry.errors import TenantryError
from tests.proofs import stage
from tests.proofs.flaws import flaws
from tests.proofs.stage import Picture
from tests.proofs.verbs import Act, Verb


@dataclass(frozen=True, slots=True)
class Fault:
    """One run after which something was not as promised; `kind` is the promise it breaks."""

    kind: str
    says: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run has left: whether it is whole, whether there was anything to mend, how many seconds that took."""

    whole: bool
    mended: bool
    seconds: float
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """The stage on which a verb begins, and how it looks when the verb is absent and when it is whole."""

    start: Path
    known: frozenset[str]
    absent: Picture
    whole: Picture

    @classmethod
    def of_verb(cls, verb: Verb, base: Path, folder: Path) -> Self:
        """Set the stage below `folder` and run the verb; it must have its effect, and one line in the journal."""
        start = stage.copy(base, folder / "start")
        with stage.opened(start) as operations:
            for act in verb.before:
                act(operations)
            assert not verb.done(operations), f"{verb.name} has its effect before it began"
        ends = cls._learn(start, folder / "after", verb.act)
        with stage.opened(folder / "after") as operations:
            assert verb.done(operations), f"{verb.name} has no effect"
        absent, whole = (sum(line.startswith("journal:") for line in some) for some in (ends.absent, ends.whole))
        assert whole == absent + 1, f"{verb.name} wrote {whole - absent} lines into the journal"
        return ends

    @classmethod
    def of_recovery(cls, start: Path, folder: Path) -> Self:
        """Recover a copy of what a verb has left: wherever that is cut short, the next must come to the same end."""
        ends = cls._learn(start, folder / "after", lambda operations: operations.recover())
        return cls(start, ends.known, ends.whole, ends.whole)

    @classmethod
    def _learn(cls, start: Path, after: Path, act: Act) -> Self:
        stage.copy(start, after)
        known = stage.names(start)
        absent = stage.picture(start, known)
        with stage.opened(after) as operations:
            act(operations)
            assert operations.recover() == (), "there was something to mend though nobody was disturbed"
        assert not (found := flaws(after)), f"undisturbed it leaves {found}"
        return cls(start, known, absent, stage.picture(after, known))

    def look(self, root: Path, acknowledged: bool) -> Seen:
        """Recover, twice, and say what is not as it should be."""
        faults: list[Fault] = []
        mended, seconds = False, 0.0
        try:
            with stage.opened(root) as operations:
                begin = time.perf_counter()
                mended = bool(operations.recover())
                seconds = time.perf_counter() - begin
                if again := operations.recover():
                    faults.append(Fault("recovery", f"the second recovery has mended once more: {again}"))
        except TenantryError as error:
            faults.append(Fault("recovery", f"it cannot be recovered: {error}"))
        faults += [Fault("disagreement", says) for says in flaws(root)]
        picture = stage.picture(root, self.known)
        faults += self._neither(picture, acknowledged)
        return Seen(picture == self.whole, mended, seconds, tuple(faults))

    def _neither(self, picture: Picture, acknowledged: bool) -> list[Fault]:
        if acknowledged and picture != self.whole:
            return [Fault("lost", f"it was acknowledged, and\n{stage.difference(self.whole, picture)}")]
        if picture in (self.absent, self.whole):
            return []
        absent, whole = stage.difference(self.absent, picture), stage.difference(self.whole, picture)
        return [Fault("half made", f"not absent:\n{absent}\nnot whole:\n{whole}")]
