"""An operator in a working folder, who types commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tenantry.cli import main

CHECKOUT = Path(__file__).resolve().parent.parent
NOTES = "tests.applications:notes"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": f"{CHECKOUT / 'platform'}{os.pathsep}{CHECKOUT}",
    "TENANTRY_APPLICATION": NOTES,
    "TERM": "xterm",
    "COLUMNS": "100",
    "LINES": "40",
}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    error: str


Run = Callable[..., Ran]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, in which commands are typed."""
    (tmp_path / ".env").write_text(f"TENANTRY_APPLICATION={NOTES}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, its output a pipe."""

    def run(*words: str) -> Ran:
        code = main(words)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def acme(root: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tenant, added once in a run of the tests; each test works on a copy of what that left."""
    kept = tmp_path_factory.getbasetemp() / "instance of acme"
    if kept.exists():
        shutil.copytree(kept, root / "instance")
    else:
        assert run("add", "acme", "--title", "Acme Ltd").code == 0
        shutil.copytree(root / "instance", kept)
    return "acme"


def python(
    *words: str, cwd: Path, out: int = subprocess.PIPE, more: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the program itself."""
    command, environment = [sys.executable, "-m", "tenantry", *words], {**ENVIRONMENT, **(more or {})}
    return subprocess.run(
        command, cwd=cwd, env=environment, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
