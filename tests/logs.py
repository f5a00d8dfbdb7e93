"""The log under test: what it wrote to standard error, in this process or in one of its own."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenantry import log
from tenantry.log import setup

ROOT = Path(__file__).resolve().parent.parent


class Stderr:
    """What was written to standard error so far."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._seen = ""

    def getvalue(self) -> str:
        assert log.wait(10)
        self._seen += self._capture.readouterr().err
        return self._seen

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@contextmanager
def put_back() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    level, handlers, outlet = root.level, root.handlers[:], setup.now.outlet
    quiet = {name: logging.getLogger(name).level for name in ("waitress.queue", "alembic", "tenantry")}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    try:
        yield
    finally:
        log.rest()
        setup.now.outlet = outlet
        root.setLevel(level)
        root.handlers[:] = handlers
        for name, before in quiet.items():
            logging.getLogger(name).setLevel(before)
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Stderr]:
    """Standard error, and logging put back afterwards as it was."""
    with put_back():
        yield Stderr(capsys)


def script(code: str, form: str = "json") -> list[str]:
    """Make the command of a process of its own that logs."""
    begin = f"import logging, os, sys, threading\nfrom tenantry import log\nlog.configure({form!r}, 'info')\n"
    paths = f"import sys; sys.path[:0] = [{str(ROOT / 'platform')!r}, {str(ROOT)!r}]\n"
    return [sys.executable, "-c", f"{paths}{begin}logger = logging.getLogger('test')\n{code}"]


def run(code: str, form: str = "json", expected: int = 0) -> list[str]:
    """Run it to its end and return the lines that it wrote."""
    ran = subprocess.run(script(code, form), capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == expected, ran.stderr
    return ran.stderr.splitlines()
