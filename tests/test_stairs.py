"""The stairs: imports go down only, each tool has its room, and no import hides."""

import ast
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs_runner import rows, section

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "platform" / "tenantry"

# One tool, one room: which rooms may import it.
ROOMS_OF = {
    "alembic": {"schema"},
    "blinker": {"signals"},
    "click": {"cli"},
    "dotenv": {"settings", "builder", "operations"},
    "flask": {"builder"},
    "flask_sqlalchemy": set[str](),
    "idna": {"address"},
    "limits": {"meters"},
    "rich": {"cli"},
    "sqlalchemy": {"registry", "databases", "schema", "builder"},
    "tomlkit": {"operations"},
    "waitress": {"server"},
}


def room(path: Path) -> str:
    """Name the room that a file of the house belongs to."""
    return path.relative_to(HOUSE).with_suffix("").parts[0]


@cache
def trees() -> dict[Path, ast.Module]:
    """Parse every file of the house."""
    return {path: ast.parse(path.read_text("utf-8"), str(path)) for path in sorted(HOUSE.rglob("*.py"))}


def imported(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Give the line and the full name of every import below a node."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from ((inner.lineno, alias.name) for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom) and inner.module and not inner.level:
            yield inner.lineno, inner.module


def test_the_table_of_rooms_is_the_contract() -> None:
    """Each room stands there once, on the floor that the contract gives it, and no room that there is not."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    floors = [layer.split(" | ") for layer in reversed(contract["layers"])]
    table = [(int(row[0]), row[1].strip("`")) for row in rows(section(ROOT / "docs" / "architecture.md", "Rooms"))]
    assert sorted(table) == sorted((floor, name) for floor, names in enumerate(floors) for name in names)


def test_imports_go_down_only() -> None:
    """The import contract of pyproject.toml holds."""
    command = [f"{sysconfig.get_path('scripts')}/lint-imports", "--no-logo", "--no-cache"]
    environment = {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "PYTHONUTF8": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("tool", ROOMS_OF)
def test_each_tool_has_its_room(tool: str) -> None:
    """A third-party package is imported in its own rooms alone, so that it can be replaced there."""
    offenders = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, tree in trees().items()
        for line, name in imported(tree)
        if name.partition(".")[0] == tool and room(path) not in ROOMS_OF[tool]
    ]
    assert not offenders, "\n  ".join([f"{tool} belongs to {sorted(ROOMS_OF[tool])}:", *offenders])


def test_no_import_hides_in_a_function() -> None:
    """Every import stands at the top of its file, except the command line's, whose `--help` must be quick."""
    offenders = {
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, tree in trees().items()
        if room(path) != "cli"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for line, name in imported(function)
    }
    assert not offenders, "\n  ".join(["imports inside functions:", *sorted(offenders)])


def test_guests_and_house_are_strangers() -> None:
    """No application of `tenants/` imports the platform, and the platform names none of them."""
    offenders = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / "tenants").rglob("*.py"))
        for line, name in imported(ast.parse(path.read_text("utf-8")))
        if name.partition(".")[0] == "tenantry"
    ]
    offenders += [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, tree in trees().items()
        for line, name in imported(tree)
        if name.partition(".")[0] == "tenants"
    ]
    assert not offenders, "\n  ".join(["strangers that know each other:", *offenders])
