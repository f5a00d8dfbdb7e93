"""What every test may ask for, and what no test may leave behind."""

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tenantry import log
from tenantry.log import setup
from tenantry.placement import Instance
from tests import tools

settings.register_profile("tenantry", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("tenantry")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`, which selects the tests marked `full` too."""
    parser.addoption("--full", action="store_true", help="also run the tests marked `full`: soaks and kill matrices")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests marked `full`, unless `--full` is given or `-m` chooses by itself."""
    if config.getoption("full") or config.getoption("markexpr"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    return tools.free_port()


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    """An instance folder, prepared and empty."""
    made = Instance(tmp_path / "instance")
    made.prepare()
    return made


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The Chromium that tests drive."""
    return tools.CHROMIUM.path()


# What must not be left behind. Anything that a fixture of the whole session opens may stay for as long as it does.

_excused: set[str] = set()
_PATIENCE = 5.0


@pytest.fixture(autouse=True)
def nobodys() -> Iterator[None]:
    """End with each test what an application has set that was called without the Context of a request."""
    yield
    log.mark.set(log.Mark())
    log.request.set("")
    log.client.set("")


@pytest.fixture(autouse=True, scope="module")
def nothing_left() -> Iterator[None]:
    """Fail when a test file leaves a descriptor, a thread or a child process behind."""
    before = _open_things()
    yield
    _forget_the_log()
    deadline = time.monotonic() + _PATIENCE
    while (left := _open_things() - before - _excused) and time.monotonic() < deadline:
        # Twice: what a finalizer of the first collection lets go of is found by the second.
        gc.collect()
        gc.collect()
        threading.Event().wait(0.02)
    assert not left, f"left behind by this file: {', '.join(sorted(left))}"


def _forget_the_log() -> None:
    """Let the next file begin with a log that nobody has configured."""
    outlet, setup.now.outlet = setup.now.outlet, None
    if outlet is not None:
        outlet.rest()
        handlers = vars(logging.root)["handlers"]
        handlers[:] = [handler for handler in handlers if handler is not outlet]
        logging.root.setLevel(logging.WARNING)
        logging.getLogger("tenantry").setLevel(logging.NOTSET)
        logging.captureWarnings(False)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """Excuse what the fixtures of the whole session open."""
    before = _open_things() if fixturedef.scope == "session" else set()
    result = yield
    if fixturedef.scope == "session":
        _excused.update(_open_things() - before)
    return result


def _open_things() -> set[str]:
    return _descriptors() | _threads() | _children()


def _descriptors() -> set[str]:
    """Name each open descriptor by its number and, where the system tells, by what it is open on."""
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").is_dir() else Path("/dev/fd")
    named = set()
    for number in os.listdir(folder):  # noqa: PTH208 - the listing's own descriptor is in it, and closed by now
        try:
            target = str((folder / number).readlink()).removesuffix(" (deleted)")
        except FileNotFoundError:
            continue
        except OSError:
            target = "something"
        named.add(f"descriptor {number} on {target}")
    return named


def _threads() -> set[str]:
    return {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}


def _children() -> set[str]:
    """Name the child processes that run or have not been waited for; empty where the system does not tell."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (command) state parent ...: the command may hold anything, brackets too.
            command, _, rest = stat.read_text(errors="replace").rpartition(")")
            if int(rest.split()[1]) == os.getpid():
                found.add(f"process {command})")
    return found
