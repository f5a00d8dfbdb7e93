"""An application's own command line, run inside one tenant."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout

from flask import Flask
from flask.cli import AppGroup, ScriptInfo, routes_command, shell_command

from tenantry.errors import Refused


def run(app: Flask, args: Sequence[str], called: str) -> int:
    """Run one command of the application, with Flask's own `shell` and `routes` beside them; return its exit code.

    `called` is how the person called it, for usage lines.
    """
    group = AppGroup(app.name, help="Commands of this tenant's application.")
    for command in (shell_command, routes_command, *app.cli.commands.values()):
        group.add_command(command)
    try:
        group.main(args=list(args), prog_name=called, obj=ScriptInfo(create_app=lambda: app))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def output(app: Flask, command: str) -> str:
    """Run one command and return what it printed, or raise Refused with its exit code."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = run(app, [command], "flask")
    if code:
        raise Refused(f"The application's {command} command ended with {code}.")
    return printed.getvalue().strip()
