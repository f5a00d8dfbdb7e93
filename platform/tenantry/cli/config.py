"""Commands on a tenant's config: set, unset, show; without a tenant, show the platform's settings."""

import dataclasses
import sys

import click

from tenantry.cli import paper
from tenantry.cli.failures import say
from tenantry.cli.group import Commands
from tenantry.cli.place import desk, place, tenant_names
from tenantry.cli.values import assignments, pairs
from tenantry.errors import Invalid

name_argument = click.argument("name", shell_complete=tenant_names)


@click.group("config", cls=Commands, invoke_without_command=True)
@click.pass_context
def config_command(context: click.Context) -> None:
    """Read and write the config of a tenant."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@config_command.command("set")
@name_argument
@click.argument("values", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--secret", is_flag=True, help="Into .env, never shown; KEY alone asks for the value.")
@click.pass_context
def set_command(context: click.Context, /, name: str, values: tuple[str, ...], secret: bool) -> None:
    """Set values; each is TOML if it can be, else plain text.

    SIGN_UP_OPEN=true is a boolean, SITE_TITLE=Acme and SITE_TITLE='"Acme"' are the same text.
    """
    with desk(context) as operations:
        if secret:
            done = operations.config_set_secret(name, _secrets(values))
        else:
            done = operations.config_set(name, assignments(values))
    keys = ", ".join(done.keys)
    paper.tell(f"Set {keys}; {name} is built anew." if done.changed else f"{name} has that already.")


@config_command.command("unset")
@name_argument
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.pass_context
def unset_command(context: click.Context, /, name: str, keys: tuple[str, ...]) -> None:
    """Take keys out of config.toml and .env; what lies below them shows again."""
    with desk(context) as operations:
        done = operations.config_unset(name, keys)
    gone = ", ".join(done.keys)
    paper.tell(f"Unset {gone}; {name} is built anew." if done.changed else f"{name} does not set {', '.join(keys)}.")


@config_command.command("show")
@click.argument("name", required=False, shell_complete=tenant_names)
@paper.json_option
@click.pass_context
def show_command(context: click.Context, /, name: str | None, as_json: bool) -> None:
    """Show each value and where it comes from, secrets masked.

    Without NAME the settings of the platform itself.
    """
    if name is None:
        found = _settings(context)
    else:
        with desk(context) as operations:
            found = [(value.key, value.shown, value.source, value.secret) for value in operations.config_show(name)]
    if as_json:
        paper.document([dict(zip(("key", "value", "source", "secret"), row, strict=True)) for row in found])
        return
    paper.table(("key", "value", "source"), [row[:3] for row in found])


def _settings(context: click.Context) -> list[tuple[str, object, str, bool]]:
    from tenantry.settings import PREFIX, read

    where = place(context)
    source = read(where.root, overrides=where.overrides)
    values = dataclasses.asdict(source.settings)
    return [(PREFIX + key.upper(), value, source.origin[key], False) for key, value in values.items()]


def _secrets(words: tuple[str, ...]) -> dict[str, str]:
    """Read secrets: KEY=VALUE, or KEY alone, whose value is asked for and so stays out of the shell's history."""
    found = pairs(word for word in words if "=" in word)
    for key in (word for word in words if "=" not in word):
        if key in found:
            raise Invalid(f"{key} is given twice.")
        found[key] = _asked(key)
    if any("=" in word for word in words) and sys.stdin.isatty():
        say("A secret typed on the command line stays in the shell's history; give KEY alone to be asked for it.")
    return found


def _asked(key: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(key, hide_input=True, err=True))
    line = sys.stdin.readline()
    if not line:
        raise Invalid(
            f"No value for {key}: standard input is empty.", hint=f"Give {key}=VALUE, or a line for each KEY."
        )
    return line.rstrip("\n")
