"""The attack: what holds is said to hold, what does not is noticed, and nothing but a scratch instance is touched."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tenantry.assembly.desk import open_operations
from tenantry.doctor.attack import PARTS, Part, Verdict
from tenantry.doctor.attack.calling import Patience
from tenantry.doctor.attack.run import attack
from tenantry.doctor.attack.scratch import Ground, Plan
from tenantry.doctor.attack.trial import Trial, attempt
from tenantry.operations import NewTenant
from tenantry.settings import Settings
from tests import operators
from tests.operators import ENVIRONMENT, NOTES, Run, python
from tests.wsgi import wait_until

root, run = operators.root, operators.run


@dataclass(frozen=True, slots=True)
class Attacked:
    """How an attack ended, and what the folder in which it was typed was like before and after."""

    code: int
    report: dict[str, Any]
    before: Mapping[str, str]
    after: Mapping[str, str]
    left: list[str]

    def row(self, part: str) -> dict[str, Any]:
        """Return the row of a part."""
        found: dict[str, Any] = next(row for row in self.report["rows"] if row["part"] == part)
        return found


def picture(folder: Path) -> dict[str, str]:
    """Spell what is in a folder, byte for byte, and when it was written."""
    found = {}
    for path in sorted(folder.rglob("*")):
        told = path.stat()
        content = sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = f"{told.st_mode:o} {told.st_mtime_ns if content else ''} {content}"
    return found


def attacked(folder: Path, *parts: str, **settings: str) -> Attacked:
    """Attack from a folder, in a process of its own, with its scratch in a folder that can be looked at."""
    scratch = folder.parent / f"scratch of {folder.name}"
    scratch.mkdir()
    before = picture(folder)
    words = [word for part in parts for word in ("--part", part)]
    more = {"TMPDIR": str(scratch), **{f"TENANTRY_{key.upper()}": value for key, value in settings.items()}}
    ran = python("doctor", "--attack", "--json", *words, cwd=folder, more=more)
    assert ran.stdout, ran.stderr
    left = [path.name for path in scratch.iterdir()]
    return Attacked(ran.returncode, json.loads(ran.stdout), before, picture(folder), left)


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    """An instance with tenants of three applications, one broken and one gone, and with a fence that is down."""
    folder = tmp_path_factory.mktemp("operated")
    overrides = {"application": NOTES, "instance": folder / "instance"}
    with open_operations(folder, overrides) as operations:
        operations.add(NewTenant("acme", config={"TENANT_FENCES_OFF": ["cookies"]}))
        operations.add(NewTenant("globex", config={"SIGN_UP_OPEN": True}, application="tests.applications:fails"))
        operations.add(NewTenant("hooli"))
    with closing(sqlite3.connect(folder / "instance" / "registry.sqlite3")) as raw:
        raw.execute("UPDATE tenants SET application = 'tests.nowhere:create_app' WHERE name = 'hooli'")
        raw.commit()
    return attacked(folder, "hosts", "replay", "kill")


def test_what_holds_is_said_to_hold(operated: Attacked) -> None:
    """With the number of what was tried, and the promises that it was about."""
    for part, promises in (("hosts", ["HOST-1", "HOST-2"]), ("replay", ["COOKIE-3"]), ("kill", ["STOP-3"])):
        row = operated.row(part)
        assert (row["verdict"], row["promises"]) == ("held", promises), row
        assert row["tried"] > 50
        assert len(row["says"]) == 1


def test_an_application_that_cannot_be_built_is_named_with_its_reason(operated: Attacked) -> None:
    """The others are attacked all the same, and the command ends with 1."""
    row = operated.row("applications")
    assert row["verdict"] == "failed"
    gone, broken = row["says"]
    assert "tests.applications:fails cannot be attacked: RuntimeError: the factory is broken" in broken
    assert "tests.nowhere:create_app cannot be attacked: There is no module 'tests.nowhere'" in gone
    assert (operated.code, operated.report["held"]) == (1, False)


def test_fences_that_are_down_are_noted(operated: Attacked) -> None:
    """For the operator's own tenants: no attack on others would see it."""
    assert [note["says"] for note in operated.report["notes"]] == [
        "The fence cookies is down for acme: what it keeps out is not kept out there."
    ]


def test_nothing_of_the_operators_is_touched_and_nothing_is_left(operated: Attacked) -> None:
    assert operated.before == operated.after
    assert operated.left == []


def test_what_does_not_hold_is_noticed(tmp_path: Path) -> None:
    """A middleware that betrays tenants is found out by every part that could see it; no instance is made."""
    parts = ["hosts", "paths", "forwarding", "replay", "cookies", "crossing", "crashes", "shares", "logs"]
    folder = tmp_path / "betrayed"
    folder.mkdir()
    found = attacked(folder, *parts, middleware="tests.traitor:Traitor")
    held = [row for row in found.report["rows"] if row["verdict"] != "failed" and row["part"] != "applications"]
    assert held == []
    assert (found.code, found.after, found.left) == (1, {}, [])
    for row in found.report["rows"]:
        assert row["verdict"] != "failed" or any(promise in str(row["says"]) for promise in row["promises"]), row


@pytest.mark.full
def test_what_does_not_hold_is_noticed_by_the_slow_parts_too(tmp_path: Path) -> None:
    folder = tmp_path / "betrayed"
    folder.mkdir()
    found = attacked(folder, "soak", "hanging", "kill", middleware="tests.traitor:Traitor")
    assert [row["verdict"] for row in found.report["rows"][1:]] == ["failed"] * 3, found.report


@pytest.mark.full
def test_everything_holds_for_the_reference_application(tmp_path: Path) -> None:
    """Behind a proxy and https, where most is different: within a minute."""
    for name, settings in (("plain", {}), ("proxied", {"scheme": "https", "proxies": "2", "domain": "example.com"})):
        folder = tmp_path / name
        folder.mkdir()
        found = attacked(folder, application="gazette", **settings)
        assert found.report["held"], found.report
        assert found.report["seconds"] < 60
        assert {row["verdict"] for row in found.report["rows"]} == {"held"}


def children_of(folder: Path) -> list[str]:
    """Name the processes that work for an attack typed in a folder; none where the system does not tell."""
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            told = words.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in told:
            found.append(told.replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_is_stopped_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Neither a folder nor a server."""
    environment, nowhere = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}, subprocess.DEVNULL
    # Whoever runs the tests in the background of a shell has it ignored, and a child inherits that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    typed = f"{heard}; import runpy; runpy.run_module('tenantry', run_name='__main__')"
    command = [sys.executable, "-c", typed, "--root", str(tmp_path), "doctor", "--attack"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=nowhere, stderr=nowhere)
    try:
        wait_until(lambda: list(tmp_path.glob("tenantry-attack-*/server-0.log")), seconds=30)
        wait_until(lambda: len(children_of(tmp_path)) == 2 or not Path("/proc/self").exists())
        process.send_signal(number)
        assert process.wait(30) == code
    finally:
        process.kill()
        process.wait()
    assert list(tmp_path.iterdir()) == []
    assert children_of(tmp_path) == []


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A scratch instance on which nobody is."""
    with open_operations(tmp_path, {"application": NOTES}) as operations:
        yield Ground(Plan(tmp_path, Settings(), (), open_operations), tmp_path, operations)


def test_a_part_that_does_not_end_in_time_has_failed(ground: Ground) -> None:
    """And says how far it came."""

    def endless(trial: Trial) -> None:
        while trial.patience.left():
            trial.hold("HOST-1", True, "")

    row = attempt(Part("endless", ("HOST-1",), 60, "", endless), ground, Patience(0.05))
    assert row.verdict is Verdict.FAILED
    assert row.says == (f"not finished in 0 s, after {row.tried} attempts",)


def test_a_part_that_breaks_or_finds_nothing_says_so(ground: Ground) -> None:
    def breaks(_: Trial) -> None:
        raise OSError("no\nroute")

    def finds(trial: Trial) -> None:
        for number in range(8):
            trial.hold("HOST-1", number % 8 == 0, f"fault {number}")

    patience = Patience(5)
    told = attempt(Part("breaks", (), 5, "", breaks), ground, patience)
    assert (told.verdict, told.says) == (Verdict.FAILED, ("broken off after 0 attempts by OSError: no route",))
    told = attempt(Part("finds", (), 5, "", finds), ground, patience)
    assert (told.tried, len(told.says), told.says[0], told.says[-1]) == (8, 6, "HOST-1: fault 1", "and 2 more")
    told = attempt(Part("nothing", (), 5, "", lambda trial: trial.nothing("no reason")), ground, patience)
    assert (told.verdict, told.says) == (Verdict.UNTRIED, ("no reason",))


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every row that would have needed it."""
    monkeypatch.setenv("TENANTRY_MIDDLEWARE", "tests.nowhere:Nobody")
    report = attack(tmp_path, {"application": NOTES}, open_operations, lambda _: None, PARTS[:1])
    assert not report.held
    assert "The middleware tests.nowhere:Nobody cannot be used" in report.rows[0].says[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--part", "hosts"), "--part belongs to --attack."),
        (("--attack", "--part", "host"), "There is no part 'host' of the attack. Did you mean 'hosts'?"),
        (("--attack", "--part", "zz"), "There is no part 'zz' of the attack. There are: applications, hosts, "),
        (("--attack", "--repair"), "--attack and --repair are two things. Give one of them."),
        (("--attack", "--dry-run"), "--dry-run belongs to --repair."),
    ],
)
def test_words_that_do_not_go_together(run: Run, words: tuple[str, ...], told: str) -> None:
    ran = run("doctor", *words)
    assert ran.code == 2
    assert told in ran.error
