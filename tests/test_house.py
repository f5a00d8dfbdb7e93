"""The rules of the house, counted: what a reader may rely on in every file."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path.relative_to(ROOT)
    for path in [
        ROOT / "serve.py",
        *(p for top in ("platform", "tenants", "tests") for p in (ROOT / top).rglob("*.py")),
    ]
    if "__pycache__" not in path.parts
)
ALLOWED_AT_TOP = {
    *("serve.py", "pyproject.toml", "platform", "tenants", "instance", "tests", "docs"),
    *("README.md", "CHANGELOG.md", "LICENSE", ".ci", ".git", ".gitignore"),
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(autouse=True, scope="module")
def trees() -> Iterator[None]:
    """Keep what was parsed for as long as this file's tests run: it is much."""
    yield
    tree.cache_clear()


@cache
def tree(path: Path) -> ast.Module:
    """Parse one source file, once for all tests of this file."""
    return ast.parse((ROOT / path).read_text("utf-8"), str(path))


def functions(path: Path) -> Iterator[tuple[Function, ast.AST]]:
    """Give each function of a file and what it stands in."""
    for outer in ast.walk(tree(path)):
        for node in ast.iter_child_nodes(outer):
            if isinstance(node, Function):
                yield node, outer


def say(offenders: list[str], rule: str) -> str:
    """Spell what is wrong, one offender a line."""
    return "\n  ".join([f"{rule}:", *offenders])


def test_no_file_passes_400_lines() -> None:
    """A file that passes 400 lines is two rooms."""
    lengths = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path in SOURCES}
    offenders = [f"{path}: {length} lines" for path, length in lengths.items() if length > 400]
    assert not offenders, say(offenders, "files of more than 400 lines")


def test_no_function_passes_40_lines() -> None:
    """Forty lines is the ceiling for a function's body, its docstring not counted."""
    offenders = []
    for path in SOURCES:
        for function, _ in functions(path):
            body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
            length = (function.end_lineno or 0) - body[0].lineno + 1 if body else 0
            if length > 40:
                offenders.append(f"{path}:{function.lineno} {function.name}: {length} lines")
    assert not offenders, say(offenders, "functions of more than 40 lines")


def parameters(function: Function, outer: ast.AST) -> int:
    """Count what a caller may give.

    `self` is not given. Words of a constructor that can only be given by name read as well as a value's fields. What
    pytest gives to a test, and click to a command, nobody else calls.
    """
    if function.name.startswith("test_") or any(
        "option(" in line for line in map(ast.unparse, function.decorator_list)
    ):
        return 0
    given = function.args.posonlyargs + function.args.args
    bound = isinstance(outer, ast.ClassDef) and "staticmethod" not in map(ast.unparse, function.decorator_list)
    by_name = [] if function.name == "__init__" else function.args.kwonlyargs
    return len(given) - bound + len(by_name)


def test_no_function_has_more_than_five_parameters() -> None:
    """More than five facts make one frozen value."""
    offenders = []
    for path in SOURCES:
        for function, outer in functions(path):
            if (number := parameters(function, outer)) > 5:
                offenders.append(f"{path}:{function.lineno} {function.name}: {number} parameters")
    assert not offenders, say(offenders, "functions of more than five parameters")


def test_every_name_says_something() -> None:
    """A name that says nothing names nothing."""
    banned = {"util", "utils", "helper", "helpers", "manager", "managers"}
    offenders = []
    for path in SOURCES:
        named = [(str(path), part) for part in path.with_suffix("").parts]
        named += [
            (f"{path}:{node.lineno}", node.name)
            for node in ast.walk(tree(path))
            if isinstance(node, Function | ast.ClassDef)
        ]
        offenders += [
            f"{where} {name}"
            for where, name in named
            if banned & {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)}
        ]
    assert not offenders, say(offenders, "names that say nothing")


def test_every_module_says_what_it_is() -> None:
    """Every module begins with a docstring."""
    offenders = [str(path) for path in SOURCES if not ast.get_docstring(tree(path))]
    assert not offenders, say(offenders, "modules without a docstring")


def test_tests_do_not_sleep() -> None:
    """A test waits for a condition until a deadline, never for a time. What is measured may sleep."""
    offenders = []
    for path in SOURCES:
        if path.parts[0] != "tests" or "benchmarks" in path.parts:
            continue
        offenders += [
            f"{path}:{node.lineno}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
        ]
    assert not offenders, say(offenders, "tests that sleep")


def test_platform_never_becomes_a_package() -> None:
    """With platform/__init__.py the standard library's module of that name would be gone."""
    assert not (ROOT / "platform" / "__init__.py").exists(), "remove platform/__init__.py"
    assert not (ROOT / "platform" / "platform.py").exists(), "rename platform/platform.py"


@pytest.mark.parametrize("paths", [(), (ROOT,), (ROOT, ROOT / "platform")])
def test_the_standard_module_platform_is_still_found(paths: tuple[Path, ...]) -> None:
    """A Python started at the top of the checkout, or with it on its path, finds the standard library's `platform`."""
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    command = [sys.executable, "-c", "import platform; print(platform.system())"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == os.uname().sysname, ran.stderr


def texts() -> Iterator[tuple[Path, str]]:
    """Give every text of the project that is not made by a program."""
    for top in sorted(ALLOWED_AT_TOP - {".git", "instance"}):
        for path in [ROOT / top, *(ROOT / top).rglob("*")]:
            if path.is_file() and "__pycache__" not in path.parts:
                try:
                    yield path.relative_to(ROOT), path.read_text("utf-8")
                except UnicodeDecodeError:
                    continue


def test_nothing_names_a_machine_or_a_registry() -> None:
    """No file holds the path of somebody's folder or the host of a package registry."""
    # In pieces, so that this file does not name them either.
    homes = "|".join(("/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "/pri" + "vate/"))
    hosts = "|".join(("py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npmjs", "deb" + r"\.debian\.org"))
    named = re.compile(rf"(?<![\w.\]])(?:{homes})\w|{hosts}")
    offenders = [
        f"{path}:{number} {found.group()}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := named.search(line))
    ]
    assert not offenders, say(offenders, "paths of a machine or hosts of a registry")


def test_the_top_level_holds_what_it_should() -> None:
    """The top level is fixed; beside it there is only what git ignores, and what a person's own tools keep hidden."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if not line.startswith("!")]
    known = {".vscode", ".idea", ".DS_Store", ".envrc", ".direnv", ".python-version"}
    offenders = [
        name
        for name in sorted(os.listdir(ROOT))  # noqa: PTH208 - names are what is compared
        if name not in ALLOWED_AT_TOP | known and not any(fnmatch(name, pattern) for pattern in ignored)
    ]
    assert not offenders, say(offenders, "not allowed at the top level")
    missing = sorted(ALLOWED_AT_TOP - {".git"} - set(os.listdir(ROOT)))  # noqa: PTH208 - as above
    assert not missing, say(missing, "missing at the top level")
