"""The command line: parsing, printing, exit codes.

Only click is imported here; each command brings the rest when it runs, so that help and completion answer at once.
Exit codes: 0 done, 1 some failed, 2 invalid, 3 unknown, 4 refused, 5 unavailable, 70 a fault of Tenantry itself,
130 stopped by Ctrl-C.
"""

import sys
from collections.abc import Sequence

import click

from tenantry.cli.group import Root

__all__ = ["main", "tenants_group"]

# Each command with the file that holds it and the first line of its help, in the order in which a newcomer needs them.
_COMMANDS = {
    "Serve": {
        "serve": ("serving", "Serve all tenants until Ctrl-C or SIGTERM."),
        "dev": ("serving", "Serve one tenant with reloader and debugger."),
    },
    "Tenants": {
        "add": ("adding", "Add a tenant; it answers as soon as this ends."),
        "clone": ("adding", "Add a tenant with the data and config of another one."),
        "rename": ("naming", "Give a tenant another name; the old one leads there."),
        "domain": ("naming", "Give a tenant domains of its own."),
        "suspend": ("admitting", "Stop admitting visitors, in every process."),
        "resume": ("admitting", "Admit visitors again."),
        "maintenance": ("admitting", "Tell visitors to come back later, or end that."),
        "restart": ("admitting", "Build the application anew; the old one answers until then."),
        "remove": ("removing", "Take a tenant's addresses away; keep its folder."),
        "purge": ("removing", "Delete removed tenants for good."),
    },
    "In front": {
        "edge": ("edge", "Print what belongs in front of the server."),
    },
    "Config and application": {
        "config": ("config", "Read and write the config of a tenant."),
        "run": ("inside", "Run a command of the tenant's application."),
        "shell": ("inside", "Open Python with the tenant's application."),
    },
    "Look": {
        "list": ("looking", "List tenants by name; on a terminal the first 100."),
        "show": ("looking", "Show everything about a tenant, and what is wrong."),
        "path": ("looking", "Print the folder of a tenant."),
        "journal": ("journal", "Show who did what, newest first."),
        "doctor": ("checks", "Check settings, folders, configs and databases."),
        "completion": ("checks", "Print the completion script of a shell."),
    },
}


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from tenantry.__about__ import __version__

        click.echo(f"tenantry {__version__}")
        context.exit()


@click.group(
    cls=Root,
    name="tenantry",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 some failed, 2 invalid, 3 unknown, 4 refused, 5 unavailable.",
    sections=_COMMANDS,
)
@click.option("--root", metavar="FOLDER", help="The checkout or working folder; found from here upwards.")
@click.option("--instance", metavar="FOLDER", help="The folder of everything the platform keeps.")
@click.option("--debug", is_flag=True, help="Show where in the code an error came from.")
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
@click.pass_context
def tenants_group(context: click.Context, /, **_options: object) -> None:
    """Turn one Flask application into many sites."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _see_text(arguments: Sequence[str]) -> None:
    """Raise where the shell has passed bytes that are no text: nothing could be asked or written with them."""
    for word in arguments:
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise click.UsageError(f"{word!a} is not UTF-8 text.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; what went wrong is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A title in any alphabet must not end a listing on a terminal that cannot show it.
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        _see_text(arguments)
        return int(tenants_group.main(args=arguments, prog_name="tenantry", standalone_mode=False) or 0)
    except (click.UsageError, click.Abort) as error:
        from tenantry.cli.failures import report

        return report(error)
