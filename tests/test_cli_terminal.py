"""The command line on a terminal, in a folder, beside Flask and as a server."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tenantry.assembly.desk import open_operations
from tenantry.cli.place import Place, command_line, find_root
from tests import operators
from tests.operators import CHECKOUT, ENVIRONMENT, NOTES, Run, python
from tests.wsgi import wait_until

acme, root, run = operators.acme, operators.root, operators.run


def on_terminal(root: Path, words: Sequence[str], typed: str = "", **environment: str) -> tuple[int, str]:
    """Run the program on a terminal, type something once it asks, and return its exit code and its whole screen."""
    command = [sys.executable, "-m", "tenantry", *words]
    pid, terminal = pty.fork()  # with a terminal that is the child's own, so that Ctrl-C reaches it
    if not pid:
        # Whoever runs the tests in the background of a shell has it ignored, and a child inherits that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(root)
        os.execve(command[0], command, {**ENVIRONMENT, **environment})
    screen, asked = b"", False
    with suppress(OSError):  # the terminal's way of saying that nobody is left on it
        while part := _said(terminal, pid, typed if asked else ""):
            screen += part
            if typed and not asked and screen.rstrip().endswith(b":"):
                os.write(terminal, typed.encode())
                asked = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen.decode()


def _said(terminal: int, pid: int, typed: str) -> bytes:
    """Read what the program says next; one that says nothing for a minute hangs, and is ended.

    A Ctrl-C that comes just before a prompt begins to wait is lost to it, as it is to a person, who presses it again.
    """
    for _ in range(60):
        if select.select([terminal], [], [], 1)[0]:
            return os.read(terminal, 65536)
        if typed == "\x03":
            os.write(terminal, typed.encode())
    os.kill(pid, signal.SIGKILL)
    return os.read(terminal, 65536)


# On a terminal.


def test_a_terminal_gets_a_table_with_nothing_cut(root: Path, run: Run) -> None:
    run("add", "acme", "--title", "Acme " * 30, "--path")
    code, screen = on_terminal(root, ["list"])
    assert code == 0
    assert all(title in screen for title in ("name", "status", "application", "addresses"))
    assert screen.count("Acme") == 30
    assert "…" not in screen
    code, screen = on_terminal(root, ["show", "acme"])
    assert "http://localhost:8000/t/acme/" in screen


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_that_want_it(
    root: Path, acme: str, environment: dict[str, str], coloured: bool
) -> None:
    _, screen = on_terminal(root, ["list"], **environment)
    assert ("\x1b[32mactive" in screen) is coloured


def test_an_empty_list_says_how_to_go_on(root: Path, run: Run) -> None:
    assert "`tenantry add NAME`" in on_terminal(root, ["list"])[1]
    run("add", "acme")
    run("remove", "acme", "--yes")
    assert run("list").out == ""
    assert "There are no tenants yet: `tenantry add NAME` adds one." in on_terminal(root, ["list"])[1]
    assert "No tenant is like that." in on_terminal(root, ["list", "--status", "suspended"])[1]


@pytest.mark.parametrize(("typed", "code"), [("acme\n", 0), ("acne\n", 4), ("\n", 4), ("\x03", 130), ("\x04", 130)])
def test_remove_lets_the_operator_type_the_name(root: Path, run: Run, acme: str, typed: str, code: int) -> None:
    """Anything else, Ctrl-C and the end of input remove nothing, and none of them shows a traceback."""
    ended, screen = on_terminal(root, ["remove", acme], typed)
    assert ended == code, screen
    assert "Traceback" not in screen
    assert run("list", "--removed").out.split("\t")[1] == ("active" if code else "removed")


def test_a_secret_is_asked_for_and_not_echoed(root: Path, run: Run, acme: str) -> None:
    code, screen = on_terminal(root, ["config", "set", acme, "--secret", "PIN"], "hunter2\n")
    assert code == 0
    assert "hunter2" not in screen
    assert "PIN='hunter2'" in (Path(run("path", acme).out.strip()) / ".env").read_text()


# Where it works.


def test_the_root_is_found_from_where_one_stands(tmp_path: Path) -> None:
    """A mere .env or instance folder belongs to somebody else's program."""
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / "a" / "b" / ".env").write_text("SECRET=1\n")
    (tmp_path / "a" / "b" / "instance").mkdir()
    assert find_root(deep) == CHECKOUT
    (tmp_path / "a" / ".env").write_text("# ours\nTENANTRY_PORT=9000\n")
    assert find_root(deep) == tmp_path / "a"
    (tmp_path / "a" / "b" / "instance" / "registry.sqlite3").touch()
    assert find_root(deep) == tmp_path / "a" / "b"
    (deep / "platform").mkdir()
    (deep / "serve.py").touch()
    assert find_root(deep) == deep


def test_root_and_instance_are_relative_to_where_one_stands(run: Run, root: Path) -> None:
    (root / "other").mkdir()
    (root / "other" / ".env").write_text(f"TENANTRY_APPLICATION={NOTES}\n")
    assert run("--root", "other", "add", "acme").code == 0
    assert (root / "other" / "instance" / "registry.sqlite3").is_file()
    assert run("--instance", "other/instance", "list").out.startswith("acme\t")


def test_the_command_is_spelled_as_it_must_be_typed(root: Path) -> None:
    """With the options without which it would work elsewhere."""
    assert command_line(Place(root)).endswith("tenantry")
    spelled = command_line(Place(root / "else", {"instance": root / "data"}))
    assert spelled.endswith(f"tenantry --root {root / 'else'} --instance {root / 'data'}")


def test_completion_completes_commands_and_names(root: Path, acme: str) -> None:
    assert "_TENANTRY_COMPLETE=zsh_complete" in python("completion", "zsh", cwd=root).stdout
    for words, expected in (("tenantry sus", "plain,suspend\n"), (f"tenantry show {acme[:2]}", "plain,acme\n")):
        asked = {"_TENANTRY_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        ran = python(cwd=root, more=asked)
        assert (ran.stdout, ran.stderr) == (expected, "")


def test_the_same_commands_stand_below_flask(root: Path, acme: str) -> None:
    """With the same output, the same line for an error, the same exit code."""
    flask = [sys.executable, "-m", "flask", "--app", str(CHECKOUT / "serve.py"), "tenants"]

    def ask(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*flask, *words], cwd=root, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
        )

    assert ask("list").stdout.startswith("acme\tactive\t")
    ran = ask("show", "acmee")
    assert (ran.returncode, ran.stderr) == (3, "tenantry: There is no tenant 'acmee'. Did you mean 'acme'?\n")


# Serving.


@contextmanager
def serving(root: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tenantry", "serve", *words]
    process = subprocess.Popen(
        command, cwd=root, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_serve_says_where_everything_is_serves_and_stops_on_ctrl_c(root: Path, free_port: int) -> None:
    with serving(root, "--port", str(free_port)) as process:
        assert process.stdout is not None
        screen = [process.stdout.readline().rstrip("\n") for _ in range(9)]
        base = f"localhost:{free_port}"
        assert screen[0].startswith("Tenantry ")
        assert screen[1:6] == [
            f"acme    http://acme.{base}/",
            f"        http://{base}/t/acme/",
            f"globex  http://globex.{base}/",
            f"        http://{base}/t/globex/",
            "",
        ]
        assert screen[6] == f"Data folder   {root / 'instance'}"
        assert re.fullmatch(r"Add a tenant  .*tenantry add initech", screen[7])
        request = urllib.request.Request(f"http://127.0.0.1:{free_port}/", headers={"Host": f"acme.{base}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.read().startswith(b"acme")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out, "Traceback" in error) == (0, "", False)
    with open_operations(root) as operations:
        assert [listed.tenant.name for listed in operations.list().tenants] == ["acme", "globex"]


def test_serve_without_demo_makes_no_tenants_and_shows_one_that_is_added_beside_it(root: Path, free_port: int) -> None:
    with serving(root, "--no-demo", "-p", str(free_port)) as process:
        assert process.stdout is not None
        shown = [process.stdout.readline() for _ in range(2)]
        assert shown[1] == f"http://localhost:{free_port}/\n"
        assert python("add", "initech", cwd=root).returncode == 0
        request = urllib.request.Request(f"http://127.0.0.1:{free_port}/", headers={"Host": "initech.localhost"})

        def answers() -> bool:
            with suppress(OSError), urllib.request.urlopen(request, timeout=20) as answer:
                return bool(answer.read().startswith(b"initech"))
            return False

        wait_until(answers)


def test_a_port_that_is_taken_is_one_line(root: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        ran = python("serve", "--port", str(free_port), cwd=root)
    assert ran.returncode == 5
    assert ran.stderr.startswith("tenantry: ")
    assert ran.stderr.count("\n") == 1


def test_two_operators_at_a_time_do_not_disturb_each_other(root: Path, run: Run) -> None:
    run("list")
    results: list[int] = []

    def add(name: str) -> None:
        results.append(python("add", name, cwd=root).returncode)

    threads = [threading.Thread(target=add, args=[name]) for name in ("acme", "globex", "initech")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0, 0, 0]
    assert len(run("list").out.splitlines()) == 3
