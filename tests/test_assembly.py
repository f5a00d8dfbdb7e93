"""What is opened for whom: who looks makes nothing, a rehearsal changes nothing, who completes loads little."""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.assembly import serving
from tenantry.assembly.desk import open_operations
from tenantry.assembly.names import applications, names
from tenantry.assembly.platform import open_platform
from tenantry.errors import Unknown
from tenantry.operations import NewTenant
from tenantry.placement import Instance
from tenantry.registry import By, Registry
from tenantry.tenant import Status, Tenant, new_uid
from tests.benchmarks import population

ROOT = Path(__file__).parent.parent
NOTES = {"application": "tests.applications:notes"}
# What a shell that completes must not wait for.
HEAVY = {
    "flask",
    "werkzeug",
    "jinja2",
    "waitress",
    "alembic",
    "rich",
    "tomlkit",
    "tenantry.builder",
    "tenantry.gateway",
}
COMPLETING = """
import sys
from tenantry import cli
try:
    cli.main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def book(root: Path) -> Registry:
    instance = Instance(root / "instance")
    instance.prepare()
    return Registry.open(instance.registry)


def enter(registry: Registry, name: str) -> str:
    """Write a tenant into the registry and nowhere else."""
    tenant = Tenant(new_uid(), name, "hello", Status.ADDING, 0)
    registry.intend(tenant, [Address(Kind.SUBDOMAIN, name)])
    registry.activate(tenant.uid, By("ada", "add"))
    return tenant.uid


def everything(root: Path) -> dict[str, bytes]:
    """Return the content of all files, but not of SQLite's own notes on who reads."""
    found = {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {path: content for path, content in found.items() if not path.endswith(("-shm", ".pyc"))}


def test_who_only_looks_makes_no_instance_folder(tmp_path: Path) -> None:
    """And hears how to make one."""
    for dry_run in (False, True):
        with (
            pytest.raises(Unknown, match="There is no instance folder") as told,
            open_operations(tmp_path, make=False, dry_run=dry_run),
        ):
            pass
        assert "tenantry add NAME" in told.value.hint
    assert names(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_needs_no_instance_folder_and_makes_none(tmp_path: Path) -> None:
    """What the first command of all would do can be asked too."""
    with open_operations(tmp_path, NOTES, dry_run=True) as operations:
        assert operations.add(NewTenant(name="acme")).urls == ("http://acme.localhost:8000/",)
        elsewhere = operations._desk.instance.root
    assert not elsewhere.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_answers_and_changes_nothing(tmp_path: Path) -> None:
    """Whether the registry or the files; what was cut short stays so as well."""
    with open_operations(tmp_path, NOTES) as operations:
        operations.add(NewTenant(name="acme"))
    with book(tmp_path) as registry:
        registry.remove(enter(registry, "half"), By("ada", "remove"))
    before = everything(tmp_path)
    with open_operations(tmp_path, NOTES, dry_run=True, make=False) as operations:
        assert operations.add(NewTenant(name="globex")).tenant.name == "globex"
        assert operations.suspend("acme", "unpaid").tenant.status is Status.SUSPENDED
        assert operations.remove("acme").changed
    with open_operations(tmp_path, NOTES, make=False, mends=False) as operations:
        assert [listed.tenant.name for listed in operations.list().tenants] == ["acme"]
        assert operations.get("acme").status is Status.ACTIVE
    assert everything(tmp_path) == before


@pytest.mark.parametrize("opened", [open_operations, partial(open_operations, make=False), open_platform])
def test_whoever_comes_first_ends_what_others_were_killed_at(tmp_path: Path, opened: object) -> None:
    """To write, to read or to serve; not for a rehearsal, nor where it is to be told first."""
    with open_operations(tmp_path, NOTES) as operations:
        operations.add(NewTenant(name="acme"))
        folder = operations.path("acme")
    with book(tmp_path) as registry:
        registry.remove(folder.name, By("ada", "remove"))
        for looking in ({"dry_run": True}, {"mends": False}):
            with open_operations(tmp_path, NOTES, **looking):
                assert registry.pending()
        assert callable(opened)
        with opened(tmp_path, NOTES):
            assert not registry.pending()
            assert not folder.exists()


def test_what_cannot_be_mended_keeps_nobody_from_working(tmp_path: Path) -> None:
    with open_operations(tmp_path, NOTES) as operations:
        operations.add(NewTenant(name="acme"))
    with book(tmp_path) as registry:
        instance = Instance(tmp_path / "instance")
        uid = registry.get("acme").uid
        hold = instance.placement(uid).hold()
        registry.remove(uid, By("ada", "remove"))
        with open_operations(tmp_path, NOTES) as operations:
            assert operations.add(NewTenant(name="globex")).tenant.status is Status.ACTIVE
            assert registry.pending()
        hold.close()


def test_names_begin_with_what_was_typed_and_are_those_of_standing_tenants(tmp_path: Path) -> None:
    """No old names, no removed ones unless they are wanted, and no more than fit on a screen."""
    with book(tmp_path) as registry:
        for name in ("acme", "acme-two", "acm", "globex"):
            enter(registry, name)
        registry.remove(registry.get("acme-two").uid, By("ada", "remove"))
        assert names(tmp_path, None, "acme") == ["acme"]
        assert names(tmp_path, None, "acme", removed=True) == ["acme-two"]
        assert names(tmp_path) == ["acm", "acme", "globex"]
        assert names(tmp_path, None, "zz") == names(tmp_path, None, "a*") == []
    crowded = Instance(tmp_path / "crowded")
    crowded.prepare()
    population.fill(crowded.registry, 500)
    assert names(tmp_path, {"instance": crowded.root}) == sorted(map(population.name, range(500)))[:200]


def test_applications_are_named_without_importing_one() -> None:
    assert "gazette" in applications(ROOT)


def test_completion_loads_nothing_that_serves(tmp_path: Path) -> None:
    with book(tmp_path) as registry:
        enter(registry, "acme")
    answered = complete(tmp_path, "tenantry show ac")
    assert answered.stdout.splitlines() == ["plain,acme"]
    assert not HEAVY & set(answered.stderr.split())


def complete(root: Path, line: str) -> "subprocess.CompletedProcess[str]":
    """Ask for the last word of a line as bash does."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TENANTRY_")}
    asking: Mapping[str, str] = {
        **kept,
        "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
        "_TENANTRY_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    command = [sys.executable, "-c", COMPLETING]
    return subprocess.run(command, cwd=root, env=asking, capture_output=True, text=True, check=False)


def test_the_first_screen_tells_of_the_first_tenants_and_counts_the_others(tmp_path: Path) -> None:
    """Two demo tenants where there has never been one, and never again."""
    with open_platform(tmp_path) as platform:
        serving._add_demo(platform.operations)
        started = serving._started(platform)
        assert tuple(name for name, _ in started.tenants) == ("acme", "globex")
        assert started.more == 0
        for number in range(3):
            enter(platform._registry, f"b{number}")
        started = serving._started(platform)
        assert tuple(name for name, _ in started.tenants) == ("acme", "b0", "b1")
        assert started.more == 2
        for name in ("acme", "globex"):
            platform.operations.remove(name)
        serving._add_demo(platform.operations)
        assert platform.operations.count() == 3


def test_the_journal_names_the_systems_user_and_not_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    for key in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(key, "somebody-else")
    monkeypatch.setenv("SUDO_USER", "ana")
    with open_operations(tmp_path, NOTES) as operations:
        operations.add(NewTenant("acme"))
        who = operations.journal("acme")[0].who
    assert who == ("ana (root)" if os.getuid() == 0 else user)
