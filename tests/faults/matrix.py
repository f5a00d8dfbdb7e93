"""Every verb, every site, every way to fail: what an operator is told, and what is left, is looked at each time.

A verb runs in a forked child whose disk fails at one place. Clean is: it ends with an error of one of the four families
that names the file, or does what it should; then, once the disk is well again and `recover` has run, the folder and the
book are as before, or, where the verb said that it is done or will be finished, as after it. Nowhere is there an empty
key or config, nor anything left over, and no descriptor stays open.
"""

import errno
import gc
import json
import logging
import os
import shutil
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from tenantry.errors import TenantryError
from tenantry.placement import Instance
from tests.faults import state
from tests.faults.cases import BEGINNINGS, CASES, CUTS, Case, opened
from tests.faults.injector import WRITES, Fault, Injector, Mode, Site

ERRORS = (errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS)
# Who was told one of these was told that the verb will be done after all, or that some of it is.
_TO_BE_DONE = ("once more finishes it", "once more goes on with it")
_IN_PART = ("could not be taken back", "cannot be put back")
_DRAFT = "-edit-"
_NOTHING = ("Nothing was changed.",)
_TENANTS = ("The config is as it was.",)  # of tenants alone: a copy for recovery may stay in staging/


@dataclass(frozen=True, slots=True)
class Result:
    """How many sites there are, how often one was met, and what was not clean, one line each.

    `places` are where each verb's sites stand in the code, in their order; `faults` tells how often each was met with.
    """

    sites: int
    runs: int
    failures: list[str]
    places: dict[str, list[str]]
    faults: Counter[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a child tells of its run: the error's text, what it `told` beside, how it ended as `waitpid` tells it."""

    sites: list[Site] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    says: str = ""
    told: str = ""
    trace: str = ""
    left_open: list[str] = field(default_factory=list)
    code: int = 0

    @property
    def done(self) -> bool:
        """Tell whether the verb said so."""
        return not self.says and not self.trace


def run_matrix(full: bool, folder: Path) -> Result:
    """Meet the sites of every verb, below an empty folder: in full each of them in every way there is.

    Else one way in turn, and of a line that is passed more than once the first time or the last, in turn.
    """
    matrix = Matrix(folder)
    for case in CASES:
        matrix.run(case, full)
    return matrix.result()


class Matrix:
    """The beginnings, and what has been seen so far."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "root"
        self._kept = folder / "kept"
        self._failures: list[str] = []
        self._places: dict[str, list[str]] = {}
        self._faults: Counter[str] = Counter()
        self._turns: Counter[bool] = Counter()
        self._as_before = False  # then the next run may begin right here
        self._lasting = False  # whether the last verb was met where it passed a place the last time
        self._kept.mkdir(parents=True)

    @property
    def instance(self) -> Instance:
        """The instance folder of the run."""
        return Instance(self._root / "instance")

    def result(self) -> Result:
        """Sum up."""
        sites = sum(map(len, self._places.values()))
        return Result(sites, sum(self._faults.values()), self._failures, self._places, self._faults)

    def run(self, case: Case, full: bool) -> None:
        """Count the sites of a verb and meet each of them."""
        self._restore(case)
        before = state.read(self.instance)
        counted = child(case, self._root, None)
        after = self._mended()
        self._as_before = False
        if case.at_once is not None:
            before = after  # who opens next makes what is missing
        if not counted.done or counted.code:
            raise AssertionError(f"{case.name} does not get through by itself: {counted.says}{counted.trace}")
        sites = {number: site for number, site in enumerate(counted.sites, 1) if case.only in site.path}
        self._places[case.name] = [site.place for site in sites.values()]
        for number, site in (sites if full else self._seldom(sites)).items():
            for fault in faults(number, site) if full else [self._in_turn(number, site)]:
                self._faults[str(fault)] += 1
                if not self._as_before or case.at_once is not None or fault.mode is Mode.FOREVER:
                    self._restore(case)
                outcome = child(case, self._root, fault)
                told = (*said(outcome), *self._left(fault, outcome, before, after))
                where = f"{case.name}, {number}: {fault} at {site.place}, {site.path}"
                self._failures += [f"{where}: {each} [{outcome.says}]" for each in told]

    def _seldom(self, sites: Mapping[int, Site]) -> dict[int, Site]:
        """Choose one of the sites in each place of the code: of one verb the last ones, of the next the first."""
        self._lasting = not self._lasting
        ordered = sites if self._lasting else dict(reversed(list(sites.items())))
        chosen = {site.place: number for number, site in ordered.items()}
        return {number: sites[number] for number in sorted(chosen.values())}

    def _in_turn(self, number: int, site: Site) -> Fault:
        # Writes have ways of their own, and their own turns, so that each way is met.
        ways = list(faults(number, site))
        self._turns[site.call in WRITES] += 1
        return ways[self._turns[site.call in WRITES] % len(ways)]

    def _left(self, fault: Fault, outcome: Outcome, before: state.State, after: state.State) -> Iterator[str]:
        """Say what is wrong with what a run has left."""
        lasting = fault.mode is Mode.FOREVER

        def litter(path: str) -> bool:
            # What a write began and could not clear away is where the next write of that file begins; a draft is told.
            draft = self.instance.root.joinpath(*Path(path).parts[:2])
            return (lasting and path.endswith(".new")) or (_DRAFT in path and str(draft) in outcome.told)

        def locks(path: str) -> bool:
            return lasting and path.endswith(".lock")  # of a verb that ended: the next recovery clears it away

        there = state.read(self.instance).without(litter).without(locks)
        if _says(outcome, _NOTHING) and (more := there.differs(before)):
            yield f"something was changed: {more}"
        tenants = there.without(lambda path: path.startswith("staging/"))
        if _says(outcome, _TENANTS) and (more := tenants.differs(before)):
            yield f"the config is not as it was: {more}"
        self._mend()
        final = state.read(self.instance).without(litter)
        self._as_before = not final.differs(before)
        if outcome.done and (more := final.differs(after)):
            yield f"done, and not as after: {more}"
        if not outcome.done and (more := final.differs(before)):
            finished = _says(outcome, _TO_BE_DONE) and not final.differs(after)
            if not finished and not (_says(outcome, _IN_PART) and final.between(before, after)):
                yield f"not done, and not as before: {more}"
        yield from (f"{path} is empty" for path in state.empty(self.instance) if _DRAFT not in str(path))

    def _make(self, name: str) -> None:
        """Make the state of that name, unless it is kept already; there may be none of it."""
        if (self._kept / name).exists():
            return
        if name in BEGINNINGS:
            self._begin(name)
        elif name in CUTS:
            self._cut(name, next(case for case in CASES if case.name == CUTS[name].case), CUTS[name].call)

    def _begin(self, name: str) -> None:
        self._clear()
        with opened(self._root) as operations:
            BEGINNINGS[name](operations)
        shutil.move(self.instance.root, self._kept / name)

    def _cut(self, name: str, case: Case, call: str) -> None:
        self._restore(case)
        sites = child(case, self._root, None).sites
        at = max(number for number, site in enumerate(sites, 1) if site.call == call)
        self._restore(case)
        child(case, self._root, Fault(at, Mode.KILL))
        shutil.move(self.instance.root, self._kept / name)

    def _restore(self, case: Case) -> None:
        """Give the verb the state that it begins from."""
        self._make(case.before)
        self._clear()
        if (self._kept / case.before).exists():
            shutil.copytree(self._kept / case.before, self.instance.root, symlinks=True)

    def _clear(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()

    def _mended(self) -> state.State:
        self._mend()
        return state.read(self.instance)

    def _mend(self) -> None:
        """Recover as any next command does, with a disk that is well."""
        with opened(self._root):
            pass


def _says(outcome: Outcome, phrases: Iterable[str]) -> bool:
    return any(phrase in outcome.says for phrase in phrases)


def said(outcome: Outcome) -> Iterator[str]:
    """Say what is wrong with how a run ended, and with what the operator was told."""
    if outcome.code:
        yield f"it ended with {outcome.code}"
    if outcome.trace:
        yield f"not one of the four families: {outcome.trace}"
    if outcome.left_open:
        yield f"left open: {', '.join(outcome.left_open)}"
    if outcome.says and not any(named(path, outcome.says) for path in outcome.failed):
        yield f"names none of {', '.join(sorted(set(outcome.failed)))}"


def faults(number: int, site: Site) -> Iterator[Fault]:
    """Name every way in which a site can be met."""
    for error in ERRORS:
        yield Fault(number, Mode.ONCE, error)
    for error in (errno.ENOSPC, errno.EROFS):
        yield Fault(number, Mode.FOREVER, error)
    if site.call in WRITES:
        yield Fault(number, Mode.SHORT)
        yield Fault(number, Mode.SHORT_AND_FULL)


def named(path: str, says: str) -> bool:
    """Tell whether a text names a file, or the folder it lies in."""
    return path in says or str(Path(path).parent) in says


def child(case: Case, root: Path, fault: Fault | None) -> Outcome:
    """Run a verb in a process of its own, its disk failing as told, and bring back what it has to tell."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        gc.disable()  # it would touch, and so copy, all that the parent has
        os.close(reading)
        try:
            told = json.dumps(asdict(perform(case, root, fault)))
            with open(writing, "w", encoding="utf-8") as out:  # noqa: PTH123 - a descriptor
                out.write(told)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as told_by:  # noqa: PTH123 - a descriptor
        told = told_by.read()
    _, code = os.waitpid(pid, 0)
    if not told:
        return Outcome(trace="it told nothing", code=code)
    facts: dict[str, Any] = json.loads(told)
    return Outcome(**{**facts, "sites": [Site(**site) for site in facts["sites"]], "code": code})


def perform(case: Case, root: Path, fault: Fault | None) -> Outcome:
    """Run a verb in this process, whose disk is never well again."""
    injector = Injector(fault)
    before = descriptors()
    told, says, trace = StringIO(), "", ""
    logging.basicConfig(stream=told, force=True)
    with redirect_stderr(told):
        try:
            if case.at_once is not None:
                injector.install()
                case.at_once(root)
            else:
                with opened(root) as operations:
                    injector.install()
                    case.verb(operations)
        except TenantryError as error:
            says = str(error)
        except BaseException:
            trace = traceback.format_exc()
    return Outcome(injector.sites, injector.failed, says, told.getvalue(), trace, sorted(descriptors() - before))


def descriptors() -> set[str]:
    """Name what this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{link.name} on {link.readlink()}")
        except OSError:
            continue
    return found
