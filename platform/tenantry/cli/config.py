"""Commands on a tenant's config: set, edit, unset, show, explain, drift; without a tenant, the platform's settings."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.choosing import Chosen, tenants_chosen
from tenantry.cli.completing import tenant_names
from tenantry.cli.failures import say
from tenantry.cli.group import Commands
from tenantry.cli.place import be, desk, dry_run_option, is_rehearsal, place
from tenantry.cli.values import assignments, pairs
from tenantry.errors import Invalid

if TYPE_CHECKING:
    from tenantry.operations import Changed, Drift, Explained

_FEW = 5
_PAST = {"change": "Changed"}

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
@dry_run_option
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
    paper.tell(_told(context, "set", done) if done.changed else f"{done.tenant.name} has that already.")


@config_command.command("edit")
@name_argument
@click.option("--secret", is_flag=True, help="Edit the .env and not config.toml.")
@dry_run_option
@click.pass_context
def edit_command(context: click.Context, /, name: str, secret: bool) -> None:
    """Edit config.toml whole; what is wrong is not saved.

    The editor is $VISUAL, else $EDITOR. It gets a copy; when it ends, the copy is checked, and replaces the file byte
    for byte. A copy that was typed in and is not saved is kept, and the command says where.
    """
    from tenantry.cli.editor import Draft

    file = ".env" if secret else "config.toml"
    with desk(context) as operations:
        parent = None if is_rehearsal(context) else _staging(context)
        with Draft(parent, operations.get(name).uid, file) as draft:
            done = operations.config_edit(name, draft.edit, secret=secret, again=draft.again)
    if not done.changed:
        paper.tell(f"{done.tenant.name} is as it was: nothing in its {file} was edited.")
    elif not done.keys:
        paper.tell(f"The {file} of {done.tenant.name} {be(context)} saved; no value of it differs.")
    else:
        paper.tell(_told(context, "change", done))


@config_command.command("unset")
@name_argument
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@dry_run_option
@click.pass_context
def unset_command(context: click.Context, /, name: str, keys: tuple[str, ...]) -> None:
    """Take keys out of config.toml and .env; what lies below them shows again."""
    with desk(context) as operations:
        done = operations.config_unset(name, keys)
    paper.tell(_told(context, "unset", done) if done.changed else f"{done.tenant.name} does not set {', '.join(keys)}.")


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


@config_command.command("explain")
@name_argument
@click.argument("key")
@paper.json_option
@click.pass_context
def explain_command(context: click.Context, /, name: str, key: str, as_json: bool) -> None:
    """Show what each layer says of a key, which wins, and who set it.

    The layers stand in their order, and the last that sets the key wins.
    """
    with desk(context) as operations:
        explained = operations.config_explain(name, key)
    if as_json:
        paper.document(_explained_document(explained))
        return
    rows = [
        (
            layer.source,
            layer.shown if layer.is_set else "-",
            "wins" if layer.wins else "",
            *((layer.origin.verb, layer.origin.who, layer.origin.at) if layer.origin else ("", "", "")),
        )
        for layer in explained.layers
    ]
    paper.table(("layer", "value", "", "set by", "who", "at"), rows)
    if explained.why_own:
        say(explained.why_own)


@config_command.command("drift")
@click.argument("key")
@tenants_chosen
@paper.json_option
@click.pass_context
def drift_command(context: click.Context, /, key: str, chosen: Chosen, as_json: bool) -> None:
    """Compare a key across tenants, the most common value first.

    Without NAME all tenants are compared. Secrets are compared as well, and not shown. Exit code 1 if the config of a
    tenant cannot be read.
    """
    with desk(context) as operations:
        found = operations.config_drift(key, chosen.selection())
    if as_json:
        paper.document(_drift_document(found))
    else:
        paper.table(
            ("value", "tenants", "from", "names"),
            [(one.shown if one.is_set else "-", len(one.names), one.sources, _few(one.names)) for one in found.groups],
        )
        for unread in found.unread:
            say(f"{unread.name} cannot be compared: {unread.reason}")
    context.exit(1 if found.unread else 0)


def _told(context: click.Context, verb: str, done: "Changed") -> str:
    """Say which keys a verb has changed, or would have."""
    did = f"Would {verb}" if is_rehearsal(context) else _PAST.get(verb, verb.capitalize())
    return f"{did} {', '.join(done.keys)}; {done.tenant.name} {be(context)} built anew."


def _few(names: Sequence[str]) -> str:
    if not paper.on_terminal():
        return " ".join(names)
    more = len(names) - _FEW
    return " ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")


def _explained_document(explained: "Explained") -> dict[str, object]:
    wins = next((layer for layer in explained.layers if layer.wins), None)
    return {
        "name": explained.tenant.name,
        "key": explained.key,
        "value": wins and wins.shown,
        "source": wins and wins.source,
        "secret": explained.secret,
        "why_own": explained.why_own or None,
        "layers": [
            {
                "layer": layer.source,
                "set": layer.is_set,
                "value": layer.shown,
                "wins": layer.wins,
                "origin": layer.origin and {"verb": layer.origin.verb, "who": layer.origin.who, "at": layer.origin.at},
            }
            for layer in explained.layers
        ],
    }


def _drift_document(found: "Drift") -> dict[str, object]:
    return {
        "key": found.key,
        "secret": found.secret,
        "groups": [
            {
                "set": group.is_set,
                "value": group.shown,
                "tenants": len(group.names),
                "sources": list(group.sources),
                "names": list(group.names),
            }
            for group in found.groups
        ],
        "unread": [{"name": unread.name, "reason": unread.reason} for unread in found.unread],
    }


def _staging(context: click.Context) -> Path:
    """Return a folder of the instance that no server reads."""
    from tenantry.placement import Instance
    from tenantry.settings import read

    where = place(context)
    return Instance(read(where.root, overrides=where.overrides).settings.instance).staging


def _settings(context: click.Context) -> list[tuple[str, object, str, bool]]:
    from tenantry.operations.config import MASK
    from tenantry.settings import PREFIX, SECRETS, read

    where = place(context)
    source = read(where.root, overrides=where.overrides)
    return [
        (PREFIX + key.upper(), MASK if value and key in SECRETS else value, source.origin[key], key in SECRETS)
        for key, value in dataclasses.asdict(source.settings).items()
    ]


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
