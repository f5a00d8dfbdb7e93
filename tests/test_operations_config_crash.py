"""A change of a config that is cut short: undone or finished by whoever comes next, and never half of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tenantry import settings
from tenantry.assembly.desk import open_desk
from tenantry.operations import Desk, NewTenant, Operations, keeping
from tenantry.placement import Placement
from tenantry.registry import By
from tenantry.tenant import Tenant
from tests import shops
from tests.shops import nothing_but, opened, verbs

operations, root, shop = shops.operations, shops.root, shops.shop

Step = Callable[[Desk, Tenant, Placement], object]


@pytest.fixture
def placement(operations: Operations) -> Placement:
    """The folder of acme, a tenant with a value and a secret."""
    operations.add(NewTenant("acme", config={"COLOUR": "red"}))
    operations.config_set_secret("acme", {"PIN": "hunter2"})
    return Placement(operations.path("acme"))


def die(root: Path, step: Step) -> None:
    """Begin a change of acme's config in another process, which dies in the middle of it, after `step`."""
    child = os.fork()
    if not child:
        code = 1
        try:
            with open_desk(root, settings.read(root, {}, {"application": "shop:create_app"}).settings) as desk:
                tenant = desk.registry.get("acme")
                placement = desk.instance.placement(tenant.uid)
                with keeping.kept(desk, tenant, placement):
                    step(desk, tenant, placement)
                    code = 0
                    os._exit(code)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def write(_: Desk, __: Tenant, placement: Placement) -> None:
    placement.config.write_text("COLOUR = 'blue'\n")
    placement.secrets.unlink()
    (placement.folder / "..env.new").write_text("PIN=")


def write_and_note(desk: Desk, tenant: Tenant, placement: Placement) -> None:
    placement.config.write_text("COLOUR = 'blue'\n")
    desk.registry.touch(tenant.uid, By("ana", keeping.SET, {"files": ["config.toml"]}, {}, {"COLOUR": "blue"}))


def content(placement: Placement) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in placement.folder.iterdir() if path.is_file()}


def test_a_change_that_is_not_in_the_journal_is_undone(
    operations: Operations, placement: Placement, root: Path
) -> None:
    before = content(placement)
    die(root, write)
    assert content(placement) != before
    assert [mended.says for mended in operations.recover()] == ["an interrupted change of its config was undone"]
    assert content(placement) == before
    assert operations.recover() == ()
    assert verbs(operations) == ["add", "config set"]
    nothing_but(root, tenants=1)


def test_a_change_that_is_in_the_journal_was_done(operations: Operations, placement: Placement, root: Path) -> None:
    die(root, write_and_note)
    assert [mended.says for mended in operations.recover()] == ["an interrupted change of its config was finished"]
    assert placement.config.read_text() == "COLOUR = 'blue'\n"
    assert operations.recover() == ()
    nothing_but(root, tenants=1)


def test_what_another_verb_wrote_into_the_journal_meanwhile_does_not_count(
    operations: Operations, placement: Placement, root: Path
) -> None:
    before = content(placement)
    die(root, write)
    operations.suspend("acme", "unpaid")
    with opened(root):
        assert content(placement) == before


def test_a_copy_that_was_not_written_to_its_end_is_cleared_away(
    operations: Operations, placement: Placement, root: Path
) -> None:
    """Nothing was touched by then."""
    before = content(placement)
    die(root, lambda desk, tenant, _: (desk.instance.staging / tenant.uid / "config-before.json").write_text('{"re'))
    assert operations.recover() == ()
    assert content(placement) == before
    nothing_but(root, tenants=1)


def test_the_next_change_begins_with_what_was_before(operations: Operations, placement: Placement, root: Path) -> None:
    """Even in a process that has been running all the time, and so has not recovered anything."""
    die(root, write)
    operations.config_set("acme", {"A": 1})
    values = {value.key: value.shown for value in operations.config_show("acme")}
    assert (values["COLOUR"], values["A"], "PIN" in values) == ("red", 1, True)
    nothing_but(root, tenants=1)


def test_a_tenant_that_was_removed_meanwhile_comes_back_with_what_was_before(
    operations: Operations, placement: Placement, root: Path
) -> None:
    before = content(placement)
    die(root, write)
    operations.remove("acme")
    assert [mended.says for mended in operations.recover()] == ["an interrupted change of its config was undone"]
    operations.undo_remove("acme")
    assert content(placement) == before
    nothing_but(root, tenants=1)
