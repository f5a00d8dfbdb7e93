"""What seldom meets a verb: Ctrl-C at the worst moment, rows that make no sense, config as hardly anybody writes it."""

import io
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tenantry import settings
from tenantry.address import Address, Kind
from tenantry.assembly.desk import open_desk
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tenantry.operations import (
    Desk,
    NewTenant,
    Operations,
    Selection,
    adding,
    config,
    keeping,
    removing,
)
from tenantry.placement import Placement
from tenantry.registry import By, Place
from tenantry.tenant import Status, Tenant, new_uid
from tests import shops
from tests.proofs.shared import Share
from tests.shops import NOTES, opened, registry, statuses, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


@contextmanager
def desk(root: Path) -> Iterator[Desk]:
    with open_desk(root, settings.read(root, {}, {"application": "shop:create_app"}).settings) as opened:
        yield opened


@pytest.fixture
def placement(operations: Operations) -> Placement:
    """The folder of acme, which has a value and no secret."""
    operations.add(NewTenant("acme", config={"COLOUR": "red"}))
    return Placement(operations.path("acme"))


def test_an_instance_that_was_never_prepared_has_nothing_left_over(tmp_path: Path) -> None:
    with desk(tmp_path) as mine:
        mine.instance.staging.rmdir()
        assert Operations(mine).recover() == ()


# Ctrl-C, and registries that cannot be asked.


def test_ctrl_c_stays_ctrl_c_where_what_was_begun_cannot_be_taken_back(root: Path) -> None:
    """A link in place of the folder is what cannot be deleted here; the next recovery clears away once it is gone."""
    tenant = Tenant(new_uid(), "acme", "shop:create_app", Status.ADDING, 0)
    intent = adding.Intent(tenant, [Address(Kind.SUBDOMAIN, "acme")], By("ada", "add"))

    def fill(staged: Placement) -> None:
        staged.folder.rename(root / "elsewhere")
        staged.folder.symlink_to(root / "elsewhere")
        raise KeyboardInterrupt

    with desk(root) as mine:
        with pytest.raises(KeyboardInterrupt):
            adding.make(mine, intent, fill)
        (mine.instance.staging / tenant.uid).unlink()
        Operations(mine).recover()
        with pytest.raises(Unknown):
            mine.registry.by_uid(tenant.uid)


def interrupted(root: Path, change: Callable[[Desk, Tenant, Placement], object]) -> None:
    with desk(root) as mine:
        tenant = mine.registry.get("acme")
        placement = mine.instance.placement(tenant.uid)

        def changing() -> None:
            with keeping.kept(mine, tenant, placement):
                change(mine, tenant, placement)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            changing()


def test_a_change_of_config_that_is_in_the_journal_stays_after_ctrl_c(root: Path, placement: Placement) -> None:
    def change(mine: Desk, tenant: Tenant, placement: Placement) -> None:
        placement.config.write_text("COLOUR = 'blue'\n")
        mine.registry.touch(tenant.uid, By("ada", keeping.SET, {}, {}, {"COLOUR": "blue"}))

    interrupted(root, change)
    assert placement.config.read_text() == "COLOUR = 'blue'\n"


def test_a_file_that_was_not_there_before_a_change_is_gone_again_after_ctrl_c(root: Path, placement: Placement) -> None:
    placement.secrets.unlink()
    interrupted(root, lambda _, __, placement: placement.secrets.write_text("PIN=1\n"))
    assert not placement.secrets.exists()


def test_a_change_whose_registry_cannot_be_asked_is_taken_back(root: Path, placement: Placement) -> None:
    before = placement.config.read_bytes()

    def change(mine: Desk, _: Tenant, placement: Placement) -> None:
        placement.config.write_text("COLOUR = 'blue'\n")
        with closing(sqlite3.connect(mine.instance.registry)) as raw:
            raw.execute("ALTER TABLE journal RENAME TO elsewhere")

    interrupted(root, change)
    assert placement.config.read_bytes() == before


def test_a_config_that_is_a_folder_is_told_of_and_nothing_is_kept(placement: Placement) -> None:
    placement.secrets.unlink()
    placement.secrets.mkdir()
    with pytest.raises(Unavailable, match=r"\.env cannot be read"):
        keeping.content(placement.secrets)


def test_a_return_that_is_in_the_registry_stays_after_ctrl_c(
    operations: Operations, placement: Placement, root: Path
) -> None:
    """The folder does not go back to the trash once the tenant is served again."""
    operations.remove("acme")
    by = By("ada", "undo remove")
    with desk(root) as mine:
        tenant = mine.registry.removed("acme")
        mine.registry.returning(tenant.uid, by)

        def returning() -> None:
            with removing._returning(mine, tenant, 1.0):
                mine.registry.bring_back(tenant.uid, [Place(Address(Kind.SUBDOMAIN, "acme"))], by)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            returning()
    assert statuses(operations) == {"acme": Status.ACTIVE}
    assert placement.exists()


# Rows that are on their way, or make no sense.


def test_a_tenant_that_is_being_purged_is_not_there_for_any_other_verb(
    operations: Operations, placement: Placement, root: Path
) -> None:
    uid = operations.get("acme").uid
    operations.remove("acme")
    with registry(root) as book:
        book.purge(uid, By("ada", "purge"))
    with pytest.raises(Unknown, match="is being purged") as unknown:
        operations.suspend("acme", "unpaid")
    assert "`tenantry purge acme`" in unknown.value.hint


def test_an_address_of_somebody_whose_row_makes_no_sense_is_not_given_back(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme", domains=("shop.example.org",), trust=True))
    operations.remove("acme")
    operations.add(NewTenant("globex", domains=("shop.example.org",), trust=True))
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw, raw:
        raw.execute("UPDATE tenants SET status = 'odd' WHERE name = 'globex'")
    restored = operations.undo_remove("acme")
    assert (restored.changed, restored.lost) == (True, ("http://shop.example.org:8000/",))


def test_a_tenant_that_is_being_added_has_no_config_to_compare(
    operations: Operations, placement: Placement, root: Path
) -> None:
    with registry(root) as book:
        book.intend(Tenant(new_uid(), "apex", NOTES, Status.ADDING, 0), [Address(Kind.SUBDOMAIN, "apex")])
    compared = operations.config_drift("COLOUR", Selection())
    assert [group.names for group in compared.groups] == [("acme",)]
    assert not compared.unread


# Config as it is seldom written.


class Price(float):
    """A number that spells itself as another, as those of some libraries do."""

    def __repr__(self) -> str:
        return "9.99"

    __str__ = __repr__


def test_a_value_that_toml_would_spell_as_another_is_not_written(operations: Operations, placement: Placement) -> None:
    before = placement.config.read_bytes()
    with pytest.raises(Invalid, match=r"PRICE cannot be edited in this config\.toml"):
        operations.config_set("acme", {"PRICE": Price(1.5)})
    assert placement.config.read_bytes() == before


def test_a_secret_that_stands_twice_is_written_once(operations: Operations, placement: Placement) -> None:
    placement.secrets.write_text("PIN=1\nTOKEN=t\nPIN=2")
    operations.config_set_secret("acme", {"PIN": "3"})
    assert placement.secrets.read_text() == "PIN='3'\nTOKEN=t\n"


def test_a_secret_is_added_below_a_line_without_an_end(operations: Operations, placement: Placement) -> None:
    placement.secrets.write_text("PIN=1")
    operations.config_set_secret("acme", {"TOKEN": "t"})
    assert config.read_secrets(placement) == {"PIN": "1", "TOKEN": "t"}


def test_a_secret_that_would_land_within_the_quotes_of_another_is_not_written() -> None:
    with pytest.raises(Invalid, match=r"PIN cannot be written into a \.env file"):
        config.with_secrets("TOKEN='never closed\n", {"PIN": "1"})


def test_a_secret_that_is_so_already_is_no_change(operations: Operations, placement: Placement) -> None:
    assert operations.config_set_secret("acme", {"PIN": "1"}).changed
    lines = verbs(operations)
    assert not operations.config_set_secret("acme", {"PIN": "1"}).changed
    assert verbs(operations) == lines


def test_a_forbidden_key_that_is_spelled_in_another_way_is_still_forbidden(
    operations: Operations, placement: Placement
) -> None:
    """Its line cannot be told, since no line begins with it."""
    with pytest.raises(Refused, match="SECRET_KEY") as refused:
        operations.config_edit("acme", lambda _: '"SECRET\\u005fKEY" = "mine"\n')
    assert "at line" not in refused.value.says


# Commands of an application.


def test_what_is_no_flask_application_has_no_commands(operations: Operations) -> None:
    operations.add(NewTenant("acme", application="tests.applications:plain"))
    with pytest.raises(Refused, match="is not a Flask one"):
        operations.run("acme", ["routes"])


def test_a_shell_is_in_the_tenants_application(operations: Operations, root: Path, placement: Placement) -> None:
    def type_in() -> str:
        sys.stdin = io.StringIO("print('whose:', app.config['TENANT_NAME'])\n")
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(printed), opened(root) as others:
            others.shell("acme")
        return printed.getvalue()

    assert "whose: acme" in Share(type_in).result()
