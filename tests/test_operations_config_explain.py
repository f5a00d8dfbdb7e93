"""Where a tenant's config comes from, and how tenants differ in it."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.builder import OWN_KEYS
from tenantry.errors import Invalid, Unknown
from tenantry.operations import Clone, Drift, Layer, NewTenant, Operations, Origin, Selection, config
from tenantry.placement import Placement
from tenantry.tenant import Status
from tests import shops
from tests.shops import opened

operations, root, shop = shops.operations, shops.root, shops.shop

MASK = config.MASK
EVERY = Selection()


@pytest.fixture
def placement(operations: Operations, root: Path) -> Placement:
    """The folder of acme, whose application has defaults of its own."""
    (root / "apps" / "shop" / "config.toml").write_text("COLOUR = 'grey'\nSIZE = 1\n")
    operations.add(NewTenant("acme", title="Acme Ltd", config={"COLOUR": "red"}))
    return Placement(operations.path("acme"))


def layers(operations: Operations, key: str, name: str = "acme") -> dict[str, Layer]:
    return {layer.source: layer for layer in operations.config_explain(name, key).layers}


def origin(operations: Operations, key: str, layer: str = "config.toml", name: str = "acme") -> str:
    """Return by which verb a layer says what it says."""
    found = layers(operations, key, name)[layer].origin
    return found.verb if found else ""


def test_every_layer_is_told_in_order_and_the_last_one_wins(operations: Operations, placement: Placement) -> None:
    found = operations.config_explain("acme", "COLOUR").layers
    assert [layer.source for layer in found] == ["platform", "application", "title", "config.toml", ".env", "tenantry"]
    assert [layer.shown for layer in found if layer.is_set] == ["grey", "red"]
    assert [layer.source for layer in found if layer.wins] == ["config.toml"]
    assert layers(operations, "SIZE")["application"].wins
    operations.config_set("acme", {"SITE_TITLE": "Mine"})
    title = layers(operations, "SITE_TITLE")
    assert (title["title"].shown, title["config.toml"].shown) == ("Acme Ltd", "Mine")
    assert [layer.source for layer in title.values() if layer.wins] == ["config.toml"]


def test_who_set_it_and_when_is_the_newest_line_of_the_journal_that_named_it(
    operations: Operations, placement: Placement
) -> None:
    assert origin(operations, "COLOUR") == "add"
    assert origin(operations, "SITE_TITLE", "title") == "add"
    assert origin(operations, "SIZE", "application") == ""
    operations.config_set("acme", {"COLOUR": "blue", "SIZE": 2})
    operations.config_edit("acme", lambda text: text.replace("blue", "green"))
    operations.config_set_secret("acme", {"NUMBER": "1"})
    lines = {line.verb: line for line in reversed(operations.journal("acme"))}
    edited = lines["config edit"]
    assert layers(operations, "COLOUR")["config.toml"].origin == Origin("config edit", edited.who, edited.at)
    assert origin(operations, "SIZE") == "config set"
    assert origin(operations, "NUMBER", ".env") == "config set"
    assert origin(operations, "NUMBER") == ""


def test_what_no_line_of_the_journal_explains_was_done_by_hand(operations: Operations, placement: Placement) -> None:
    operations.config_set("acme", {"A": 1, "B": 1, "C": 1})
    operations.config_unset("acme", ["C"])
    placement.config.write_text("A = 2\nC = 1\nD = 1\n")
    placement.secrets.write_text("NUMBER='1'\n")
    assert [origin(operations, key) for key in ("A", "C", "D")] == ["by hand"] * 3
    assert origin(operations, "NUMBER", ".env") == "by hand"
    assert (layers(operations, "COLOUR")["config.toml"].is_set, origin(operations, "COLOUR")) == (False, "by hand")
    placement.config.write_text("A = 1\n")
    assert origin(operations, "A") == "config set"


def test_a_key_that_was_taken_out_tells_who_did_it(operations: Operations, placement: Placement) -> None:
    operations.config_set("acme", {"A": 1})
    operations.config_set_secret("acme", {"NUMBER": "1"})
    operations.config_unset("acme", ["A", "NUMBER"])
    assert (origin(operations, "A"), origin(operations, "A", ".env")) == ("config unset", "")
    assert (origin(operations, "NUMBER"), origin(operations, "NUMBER", ".env")) == ("", "config unset")
    operations.config_edit("acme", lambda _: "")
    assert origin(operations, "COLOUR") == "config edit"


def test_a_clones_config_came_with_it_until_it_is_set(operations: Operations, placement: Placement) -> None:
    operations.clone("acme", Clone("copy"))
    assert origin(operations, "COLOUR", name="copy") == "clone"
    assert origin(operations, "SITE_TITLE", "title", "copy") == "clone"
    operations.config_set("copy", {"COLOUR": "blue"})
    assert origin(operations, "COLOUR", name="copy") == "config set"


def test_lines_of_an_older_journal_are_understood(operations: Operations, placement: Placement, root: Path) -> None:
    """They had the keys and values that were set in their detail, and no word of the file."""
    placement.config.write_text("A = 1\nB = 2\nGONE = 1\n")
    placement.secrets.write_text("NUMBER='1'\n")
    uid = operations.get("acme").uid
    old: Sequence[tuple[str, dict[str, object]]] = (
        ("config set", {"A": 1, "B": 1, "NUMBER": MASK}),
        ("config set", {"GONE": 1, "AWAY": 1}),
        ("config unset", {"AWAY": None}),
    )
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as book, book:
        for verb, detail in old:
            book.execute(
                "INSERT INTO journal (at, who, verb, uid, name, detail) VALUES ('then', 'ana', ?, ?, ?, ?)",
                (verb, uid, "acme", json.dumps(detail)),
            )
    assert layers(operations, "A")["config.toml"].origin == Origin("config set", "ana", "then")
    assert origin(operations, "B") == "by hand"
    assert origin(operations, "AWAY") == "config unset"
    assert (origin(operations, "NUMBER"), origin(operations, "NUMBER", ".env")) == ("", "config set")


def test_a_key_that_nobody_sets_is_unknown_and_the_one_that_was_meant_is_named(
    operations: Operations, placement: Placement
) -> None:
    with pytest.raises(Unknown, match=r"'COLOR'\. Did you mean COLOUR\?"):
        operations.config_explain("acme", "COLOR")
    with pytest.raises(Unknown, match="Did you mean SITE_TITLE"):
        operations.config_explain("acme", "site_title")


@pytest.mark.parametrize("key", sorted(OWN_KEYS))
def test_a_key_of_the_platform_says_why_it_cannot_be_set(key: str) -> None:
    assert "cannot be set. It " in config.why_own(key)


def test_a_key_of_the_platform_is_explained(operations: Operations, placement: Placement) -> None:
    found = operations.config_explain("acme", "SECRET_KEY")
    assert (found.layers[-1].wins, found.layers[-1].shown, found.secret) == (True, MASK, True)
    assert "key file" in found.why_own
    assert operations.config_explain("acme", "COLOUR").why_own == ""


def test_no_layer_of_a_secret_is_shown(operations: Operations, placement: Placement) -> None:
    operations.config_set("acme", {"HARMLESS": "hunter2", "API_KEY": "hunter2", "FEED": "https://me:hunter2@host/"})
    operations.config_set_secret("acme", {"HARMLESS": "hunter2"})
    for key in ("HARMLESS", "API_KEY", "FEED"):
        assert "hunter2" not in repr(operations.config_explain("acme", key))
    assert layers(operations, "HARMLESS")["config.toml"].shown == MASK
    assert origin(operations, "HARMLESS") == "config set"


# Across tenants.


def groups(found: Drift) -> list[tuple[object, tuple[str, ...], tuple[str, ...]]]:
    return [(group.shown if group.is_set else "-", group.sources, group.names) for group in found.groups]


def test_tenants_are_grouped_by_what_a_key_is_for_them(operations: Operations, placement: Placement) -> None:
    """The largest group first; true is not 1, and a default counts as what it is."""
    for name, values in (("b", {"COLOUR": "grey"}), ("c", {}), ("d", {"A": 1}), ("e", {"A": True}), ("f", {"A": True})):
        operations.add(NewTenant(f"shop-{name}", config=values))
    names = tuple(f"shop-{name}" for name in "bcdef")
    assert groups(operations.config_drift("COLOUR", EVERY)) == [
        ("grey", ("application", "config.toml"), names),
        ("red", ("config.toml",), ("acme",)),
    ]
    assert groups(operations.config_drift("A", EVERY)) == [
        ("-", (), ("acme", "shop-b", "shop-c")),
        (True, ("config.toml",), ("shop-e", "shop-f")),
        (1, ("config.toml",), ("shop-d",)),
    ]
    assert [group.shown for group in operations.config_drift("TENANT_NAME", EVERY).groups] == ["acme", *names]


def test_drift_looks_at_those_that_are_selected(operations: Operations, placement: Placement) -> None:
    for name in ("shop-a", "shop-b", "other"):
        operations.add(NewTenant(name))
    operations.suspend("shop-b", "unpaid")
    operations.remove("other")

    def looked_at(selection: Selection) -> list[str]:
        return [name for group in operations.config_drift("SIZE", selection).groups for name in group.names]

    assert looked_at(EVERY) == ["acme", "shop-a", "shop-b"]
    assert looked_at(Selection(("shop-*",))) == ["shop-a", "shop-b"]
    assert looked_at(Selection(status=Status.SUSPENDED)) == ["shop-b"]
    assert looked_at(Selection(application="else:app")) == []
    with pytest.raises(Unknown, match="shop-a"):
        operations.config_drift("SIZE", Selection(("shop-aa",)))
    with pytest.raises(Invalid, match="removed"):
        operations.config_drift("SIZE", Selection(status=Status.REMOVED))


def test_a_key_that_no_tenant_has_is_unknown(operations: Operations, placement: Placement) -> None:
    with pytest.raises(Unknown, match="Did you mean COLOUR"):
        operations.config_drift("COLOR", EVERY)


def test_secrets_are_compared_and_never_shown(operations: Operations, placement: Placement) -> None:
    """Nor where one tenant hides what another does not: an equal value would tell."""
    for name, pin in (("a", "hunter2"), ("b", "hunter2"), ("c", "hunter3")):
        operations.add(NewTenant(f"shop-{name}"))
        operations.config_set_secret(f"shop-{name}", {"NUMBER": pin})
    operations.config_set("acme", {"NUMBER": "hunter2", "API_KEY": "hunter2"})
    found = operations.config_drift("NUMBER", EVERY)
    assert found.secret
    assert groups(found) == [
        (MASK, (".env", "config.toml"), ("acme", "shop-a", "shop-b")),
        (MASK, (".env",), ("shop-c",)),
    ]
    assert "hunter" not in repr((found, operations.config_drift("API_KEY", EVERY)))


def test_a_tenant_whose_config_cannot_be_read_is_named_with_the_reason(
    operations: Operations, placement: Placement
) -> None:
    for name in ("b", "c", "d"):
        operations.add(NewTenant(f"shop-{name}"))
    (operations.path("shop-b") / "config.toml").write_text("A = 1\nB = \n")
    (operations.path("shop-c") / "key").unlink()
    found = operations.config_drift("COLOUR", EVERY)
    assert groups(found) == [("red", ("config.toml",), ("acme",)), ("grey", ("application",), ("shop-d",))]
    assert [(one.name, word in one.reason) for one, word in zip(found.unread, ("line 2", "key"), strict=True)] == [
        ("shop-b", True),
        ("shop-c", True),
    ]


def test_an_application_that_cannot_be_imported_is_tried_once_for_all_its_tenants(
    operations: Operations, placement: Placement, root: Path
) -> None:
    for name in ("b", "c"):
        operations.add(NewTenant(f"shop-{name}"))
    log = root / "imports"
    (root / "apps" / "broken.py").write_text(
        f"with open({str(log)!r}, 'a') as log:\n    log.write('x')\nraise RuntimeError('no')\n"
    )
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as book, book:
        book.execute("UPDATE tenants SET application = 'broken:create_app' WHERE name <> 'acme'")
    with opened(root) as fresh:
        found = fresh.config_drift("COLOUR", EVERY)
    assert [one.name for one in found.unread] == ["shop-b", "shop-c"]
    assert all("RuntimeError: no" in one.reason for one in found.unread)
    assert log.read_text() == "x"
