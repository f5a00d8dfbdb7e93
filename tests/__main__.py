"""Run everything that must hold: format, lint, types, stairs, tests. One word at the end tells whether all is well.

python3 tests                     all of it
python3 tests --full              with the long soaks and kill matrices too
python3 tests -k pool -x          pytest alone, with these arguments; paths are from the top of the checkout
python3 tests --bench [...]       the figures, measured beside their baselines
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)
sys.path.insert(1, str(ROOT / "platform"))

import bootstrap

if __name__ == "__main__":
    bootstrap.ensure("test")

from tests import tools

CHECKS = {
    "format": ["ruff", "format", "--check", "--output-format=concise", "."],
    "lint": ["ruff", "check", "--output-format=concise", "."],
    "types": ["mypy"],
    "stairs": ["lint-imports", "--no-logo"],
}
# What the tests write is read again before this machine stops, so they need wait for no disk where there is room for it
# in memory. With `--full` they write to the disk.
MEMORY, ROOM = Path("/dev/shm"), 4 << 30
# One process more than there are cores, as each of them often waits for somebody. A file's tests stay together, as they
# share what is costly to make; files come by name, since by their number of tests those of few and long ones would come
# last, when nothing else is left to be done beside them.
PARALLEL = [f"--numprocesses={(os.cpu_count() or 1) + 1}", "--dist=loadfile", "--no-loadscope-reorder"]


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for and return the exit code."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if "--bench" in arguments:
        return bench([word for word in arguments if word != "--bench"])
    partly = [word for word in arguments if word != "--full"]
    failed = [] if partly else [name for name, command in CHECKS.items() if not check(name, command)]
    failed += [tool.name for tool in (tools.CHROMIUM, tools.NGINX) if not fetched(tool) and not partly]
    with in_memory(bool(arguments)) as folder:
        if subprocess.call([script("pytest"), *([] if partly else PARALLEL), *folder, *arguments], cwd=ROOT) != 0:
            failed.append("tests")
    print(f"Unwell: {', '.join(failed)}." if failed else "Well.")
    return 1 if failed else 0


@contextmanager
def in_memory(never: bool) -> Iterator[list[str]]:
    """Give pytest's option for a folder in memory that is gone afterwards; none where there is no room for one."""
    if never or not roomy(MEMORY):
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="tests-", dir=MEMORY) as folder:
        yield [f"--basetemp={folder}/all"]


def roomy(folder: Path) -> bool:
    """Tell whether the tests find room in a folder, and may run there what they write."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


def check(name: str, command: list[str]) -> bool:
    """Run one check, tell how it went in a line, and show what it said only if it failed."""
    print(f"{name:8}", end="", flush=True)
    began = time.monotonic()
    # The checkout's own packages, also where it is not installed.
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path[:2]))
    ran = subprocess.run(
        [script(command[0]), *command[1:]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    print(f"{'failed' if ran.returncode else 'ok':8}{time.monotonic() - began:5.1f} s", flush=True)
    if ran.returncode:
        print(ran.stdout.decode(errors="replace"), flush=True)
    return ran.returncode == 0


def bench(arguments: list[str]) -> int:
    """Measure instead of testing."""
    if not fetched(tools.WRK):
        return 1
    return subprocess.call([sys.executable, "-m", "tests.benchmarks", *arguments], cwd=ROOT)


def fetched(tool: tools.Tool) -> bool:
    """Find a program or install it; if that cannot be, say what to run."""
    try:
        tool.fetch()
    except tools.Missing as missing:
        print(missing, flush=True)
        return False
    return True


def script(name: str) -> str:
    """Name a command of this interpreter's environment, whatever PATH holds."""
    return str(Path(sysconfig.get_path("scripts")) / name)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
