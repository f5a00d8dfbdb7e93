"""Prepare .venv and start again inside it: what `python3 serve.py` and `python3 tests` do before anything else.

Standard library only, and no syntax newer than Python 3.6: an old Python must be able to read this file in order to
say that it is too old. Nothing is written outside .venv, except a Debian package where that needs no question.

A .venv made here carries a mark. While it is being made the mark says so, hence one whose making was cut short is
noticed and made again. A .venv without a mark is somebody else's: it is used, it may be added to, it is never emptied.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (3, 11)
# Set across a restart, so that one which changed nothing ends in a sentence and not in a circle.
AGAIN = "TENANTRY_BOOTSTRAPPED"
MAKING = "being made\n"
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
ITSELF = ("--no-deps", "--no-build-isolation", "--editable", ".")
NOTHING = subprocess.DEVNULL
ASIDE = ("PYTHONPATH", "PIP_PREFIX", "PIP_TARGET", "PIP_USER", "VIRTUAL_ENV")


class Stop(Exception):
    """Say why the set-up cannot go on, and what to do about it."""


def ensure(group: str, root: Path = ROOT) -> None:
    """Return if this interpreter has all that `group` needs, `run` or `test`; otherwise start again in one that has."""
    again = os.environ.pop(AGAIN, "")
    try:
        if os.name != "posix":
            raise Stop("Tenantry runs on Linux and macOS; on Windows, run it in WSL.")
        Setup(root, group).enter(again)
    except Stop as stop:
        sys.exit(str(stop))
    except OSError as error:
        sys.exit("The set-up cannot go on: {}.".format(error))
    except KeyboardInterrupt:
        say("\nStopped. The next start finishes the set-up.")
        sys.exit(130)


class Setup:
    """One group of requirements in one checkout, and the .venv that is to have them."""

    def __init__(self, root: Path, group: str) -> None:
        self.root = root
        self.group = group
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self.mark = self.venv / "tenantry-setup"
        self.inside = os.path.realpath(sys.prefix) == os.path.realpath(str(self.venv))
        self.held = -1

    # Deciding

    def enter(self, again: str) -> None:
        """Return if all is there; otherwise prepare .venv, unless it is ready, and start again inside it."""
        old = sys.version_info[:2] < NEEDED
        if not (self.inside and self.mark.exists()):
            lacks = "Python 3.11" if old else missing(self.root, self.group)
            if not lacks:
                return
            if again == "prepared":
                raise Stop("{} still lacks {}. Remove .venv and run this again.".format(sys.executable, lacks))
            if not self.inside and self.foreign():
                self.start(self.python, "entered")
        elif self.ready():
            return
        if old and not self.ready():
            self.leave_old_python(again)
        if not self.ready():
            with self.alone():
                # Whoever held the lock before may have done it.
                if not self.ready():
                    self.prepare()
        self.start(self.python, "prepared")

    def ready(self) -> bool:
        """Tell whether .venv was made here, for this group or a larger one, from the files as they are now."""
        marks = [self.digest(group) for group in ("run", "test") if group in (self.group, "test")]
        if read(self.mark) not in marks or not os.access(str(self.python), os.X_OK):
            return False
        # The system's Python may have been upgraded under the link in .venv: then nothing is installed for this one.
        return not self.inside or Path(sysconfig.get_path("purelib")).is_dir()

    def foreign(self) -> bool:
        """Tell whether .venv is a virtual environment that somebody else made; raise Stop if it can be no use."""
        if self.mark.exists() or not self.venv.exists() or not any(self.venv.iterdir()):
            return False
        if not runs(self.python):
            raise Stop(
                ".venv was not made by Tenantry and has no Python 3.11 or newer. Move it away: mv .venv .venv.old"
            )
        return True

    def digest(self, group: str) -> str:
        """Spell the mark of a .venv that holds `group`: what it was made from, and where, since it cannot be moved."""
        made_of = hashlib.sha256()
        for part in (self.root / "pyproject.toml", self.root / "platform" / "locks" / (group + ".txt")):
            made_of.update(part.read_bytes())
        return "{}\n{} {}\n".format(self.root, group, made_of.hexdigest())

    def leave_old_python(self, again: str) -> None:
        """Start again in a newer Python if there is one; return if uv may bring one, raise Stop otherwise."""
        version = "Tenantry needs Python 3.11 or newer; this is {}.{}.{}.".format(*sys.version_info[:3])
        newer = newer_python()
        if newer and not again:
            say("{} Going on with {}.".format(version, newer))
            self.start(newer, "newer")
        if not shutil.which("uv"):
            raise Stop(version)

    def start(self, python: Path, why: str) -> None:
        """Become `python`, running the same command."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.environ[AGAIN] = why
        # sys.orig_argv, which has the interpreter's own options too, is as old as Python 3.10.
        rest = getattr(sys, "orig_argv", ["", *sys.argv])[1:]
        os.execv(str(python), [str(python), *rest])

    # Preparing

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the checkout's set-up lock.

        Each command started here inherits it: when this process is killed, whoever starts next waits for an installer
        that is still writing. The lock is on a file that is there anyway; it is opened for writing because network
        file systems ask for that.
        """
        import fcntl  # not on Windows, whose users have been told so by now

        with open(str(self.root / "pyproject.toml"), "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another start is preparing .venv; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            self.held = file.fileno()
            yield

    def prepare(self) -> None:
        """Make .venv, or bring the one that is there up to date, and mark it when it is whole."""
        began = time.monotonic()
        foreign = self.foreign()
        if foreign and not self.inside:
            return
        say("Preparing .venv for {}.".format({"run": "serve.py", "test": "the tests"}[self.group]))
        # A whole one is updated in place: a server may be running from it.
        whole = read(self.mark).startswith("{}\n".format(self.root)) and runs(self.python)
        update = foreign or (whole and bool(shutil.which("uv") or has(self.python, "pip")))
        if not foreign:
            self.venv.mkdir(exist_ok=True)
            self.mark.write_text(MAKING)
        if not update:
            self.clear()
        self.fill(update)
        if not foreign:
            write(self.mark, self.digest(self.group))
        say("Prepared in {:.1f} s.".format(time.monotonic() - began))

    def clear(self) -> None:
        """Empty .venv, all but the mark: whatever stops this, what is left still says that it is not whole."""
        for path in self.venv.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(str(path))
            elif path != self.mark:
                path.unlink()

    def fill(self, update: bool) -> None:
        """Make the virtual environment, unless it is only updated, and install into it, by the first way that works."""
        uv = shutil.which("uv")
        if uv and self.by_uv(uv, update):
            return
        if sys.version_info[:2] < NEEDED:
            raise Stop("Tenantry needs Python 3.11 or newer, and uv could not bring it.")
        base = Path(getattr(sys, "_base_executable", None) or sys.executable)
        if not update:
            if uv:
                say("uv could not; going on with venv and pip.")
                self.clear()
            if not has(base, "ensurepip") and not self.apt_venv(base):
                self.by_fetched_uv(base)
                return
            self.must(base, "-m", "venv", ".venv")
        elif not has(self.python, "pip"):
            self.must(self.python, "-m", "ensurepip")
        self.must(self.python, *PIP, "--require-hashes", "-r", "platform/locks/{}.txt".format(self.group))
        self.must(self.python, *PIP, *ITSELF)

    def by_uv(self, uv: str, update: bool) -> bool:
        """Do all of it with uv, five times as fast as pip; tell whether it went well."""
        old = sys.version_info[:2] < NEEDED
        python = ">=3.11" if old else str(getattr(sys, "_base_executable", None) or sys.executable)
        install = [uv, "pip", "install", "--quiet", "--python", ".venv/bin/python"]
        lock = "platform/locks/{}.txt".format(self.group)
        return (
            (update or self.run(uv, "venv", "--quiet", "--allow-existing", "--python", python, ".venv"))
            and self.run(*install, "--compile-bytecode", "--require-hashes", "-r", lock)
            and self.run(*install, *ITSELF)
        )

    def by_fetched_uv(self, base: Path) -> None:
        """Fetch uv with the pip of a Python that cannot make virtual environments, and do all of it with that."""
        if has(base, "pip"):
            self.must(base, *PIP, "--require-hashes", "--target", ".venv/uv", "-r", "platform/locks/uv.txt")
            if self.by_uv(str(self.venv / "uv" / "bin" / "uv"), update=False):
                return
            raise Stop("The command above failed. Run this again when it can succeed.")
        if shutil.which("apt-get"):
            sudo = "" if os.geteuid() == 0 else "sudo "
            raise Stop(
                "This Python cannot make virtual environments. Run: {}apt install {}".format(sudo, venv_package())
            )
        raise Stop("This Python has neither ensurepip nor pip. Install uv and run this again.")

    def apt_venv(self, base: Path) -> bool:
        """Install the part of Debian's own Python that makes virtual environments; tell whether it is there now."""
        return base.resolve().parent == Path("/usr/bin") and apt(venv_package()) and has(base, "ensurepip")

    def run(self, *command: object) -> bool:
        """Show and run a command in the checkout; tell whether it went well."""
        return run(command, self.root, [self.held])

    def must(self, *command: object) -> None:
        """Show and run a command in the checkout, or raise Stop."""
        if not self.run(*command):
            raise Stop("The command above failed. Run this again when it can succeed.")


# What is there


def missing(root: Path, group: str) -> str:
    """Name the first requirement that this interpreter does not meet, or nothing; nothing is imported to find out."""
    import tomllib  # both newer than the Python that may have to read this file
    from importlib import metadata

    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    wanted = list(project["project"]["dependencies"])
    if group == "test":
        wanted += [line for line in project["dependency-groups"]["test"] if isinstance(line, str)]
    for requirement in wanted:
        name, bounds = re.match(r"([\w.-]+)(?:\[.*?\])?([^;]*)", requirement).groups()  # type: ignore[union-attr]
        try:
            if not within(metadata.version(name), bounds):
                return str(requirement)
        except metadata.PackageNotFoundError:
            return str(requirement)
    return ""


def within(version: str, bounds: str) -> bool:
    """Tell whether a version lies within bounds such as `>=1.2,<2`; a pre-release counts as its release."""
    for operator, bound in re.findall(r"(>=|<)\s*([\d.]+)", bounds):
        if (numbers(version) >= numbers(bound)) != (operator == ">="):
            return False
    return True


def numbers(version: str) -> Tuple[int, ...]:
    """Spell a version's release for comparing: `3.1` as (3, 1, 0, 0)."""
    release = re.match(r"[\d.]*", version).group()  # type: ignore[union-attr]
    parts = [int(part) for part in release.split(".") if part]
    return tuple(parts + [0] * (4 - len(parts)))


def newer_python() -> Optional[Path]:
    """Find a Python on PATH that is new enough."""
    for minor in range(20, NEEDED[1] - 1, -1):
        found = shutil.which("python3.{}".format(minor))
        if found and runs(Path(found)):
            return Path(found)
    return None


def runs(python: Path) -> bool:
    """Tell whether this is a Python that starts and is new enough."""
    return succeeds(python, "import sys; sys.exit(sys.version_info[:2] < {})".format(NEEDED))


def has(python: Path, module: str) -> bool:
    """Tell whether a Python has a module."""
    return succeeds(python, "import {}".format(module))


def succeeds(python: Path, code: str) -> bool:
    """Tell whether a Python runs some code without complaint."""
    try:
        return subprocess.call([str(python), "-c", code], stdin=NOTHING, stdout=NOTHING, stderr=NOTHING) == 0
    except OSError:
        return False


def read(path: Path) -> str:
    """Read a small text file; one that is not there is empty."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""


def write(path: Path, text: str) -> None:
    """Write a small text file so that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    os.replace(str(part), str(path))


# What is run


def venv_package() -> str:
    """Name the Debian package with which this Python can make virtual environments."""
    return "python3.{}-venv".format(sys.version_info[1])


def apt(package: str) -> bool:
    """Install a Debian package where that needs no question, unless TENANTRY_NO_APT=1; tell whether it went well."""
    if os.environ.get("TENANTRY_NO_APT", "0") not in ("", "0") or not shutil.which("apt-get"):
        return False
    words: List[str] = []
    if os.geteuid() != 0:
        words = ["sudo", "-n"]
        if not shutil.which("sudo") or subprocess.call([*words, "true"], stderr=NOTHING) != 0:
            return False
    words += ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    run([*words, "update"], out=NOTHING)
    return run([*words, "install", "--yes", "--no-install-recommends", package], out=NOTHING)


def run(command: Sequence[object], root: Path = ROOT, inherited: Sequence[int] = (), out: int = 2) -> bool:
    """Show and run a command, its output on standard error unless `out` says otherwise; tell whether it went well."""
    words = [str(word) for word in command]
    shown = [word.replace(str(root) + os.sep, "", 1) for word in words]
    say("$ " + " ".join(word if re.match(r"[\w./=+-]+$", word) else "'{}'".format(word) for word in shown))
    # What would make an installer look or write elsewhere than it is told.
    environment = {key: value for key, value in os.environ.items() if key not in ASIDE}
    try:
        # In a session of its own, so that Ctrl-C reaches it from here, as a signal that ends it quietly.
        child = subprocess.Popen(
            words,
            cwd=str(root),
            env=environment,
            stdin=NOTHING,
            stdout=out,
            pass_fds=inherited,
            start_new_session=True,
        )
    except OSError as error:
        say(str(error))
        return False
    try:
        return child.wait() == 0
    except KeyboardInterrupt:
        # What runs by sudo is not ours to stop: a package half installed would be worse.
        with suppress(PermissionError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait()
        raise


def say(line: str) -> None:
    """Tell the person at the terminal."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
