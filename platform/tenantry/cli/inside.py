"""Commands that run inside one tenant: run, shell."""

import click

from tenantry.cli.completing import tenant_names
from tenantry.cli.place import desk

name_argument = click.argument("name", shell_complete=tenant_names)


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@name_argument
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- FLASK-COMMAND...")
@click.pass_context
def run_command(context: click.Context, /, name: str, words: tuple[str, ...]) -> None:
    """Run a command of the tenant's application.

    It is the application's own command line, with `shell` and `routes` beside it; without a command it lists them.
    """
    with desk(context) as operations:
        code = operations.run(name, words or ("--help",))
    context.exit(code)


@click.command("shell")
@name_argument
@click.pass_context
def shell_command(context: click.Context, /, name: str) -> None:
    """Open Python with the tenant's application."""
    with desk(context) as operations:
        operations.shell(name)
