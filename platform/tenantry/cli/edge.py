"""Commands on what stands in front of the server: edge nginx, edge systemd."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from tenantry.cli import paper
from tenantry.cli.group import Commands
from tenantry.cli.place import desk, place
from tenantry.errors import Invalid, Unavailable, Unknown

# Differences that are told one by one.
_TOLD = 50


@click.group("edge", cls=Commands, invoke_without_command=True)
@click.pass_context
def edge_command(context: click.Context) -> None:
    """Print what belongs in front of the server."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@edge_command.command("nginx")
@click.option("--check", metavar="FILE", help="Print nothing of it; tell how this installed file differs.")
@click.pass_context
def nginx_command(context: click.Context, /, check: str | None) -> None:
    """Print the configuration of nginx, whole.

    For /etc/nginx/conf.d/tenantry.conf. Made from the settings, so that tenants come and go without another one. With
    --check the exit code is 1 if the file is out of date.
    """
    with desk(context, mends=False) as operations:
        made = operations.edge_nginx()
    for line in made.left_out:
        click.echo(line, err=True)
    if check is None:
        click.echo(made.text, nl=False)
        return
    found = _compared(Path(check), made.text, "tenantry edge nginx")
    again = f"`tenantry edge nginx > {check}` writes it anew; then have nginx read it."
    context.exit(_told(found, f"{check} is as it should be.", again))


@edge_command.command("systemd")
@click.argument("unit", required=False)
@click.option("--check", metavar="FOLDER", help="Print nothing of them; tell how the installed units differ.")
@click.option("--user", metavar="USER", default="", help="Who serves, by default the owner of the instance folder.")
@click.option("--group", metavar="GROUP", default="www-data", help="Who may reach the socket, by default www-data.")
@click.pass_context
def systemd_command(context: click.Context, /, unit: str | None, check: str | None, user: str, group: str) -> None:
    """Print the units of systemd, or one of them.

    For /etc/systemd/system/. With --check the exit code is 1 if one of them is out of date.
    """
    from tenantry.edge import Place

    with desk(context, mends=False) as operations:
        units = operations.edge_systemd(Place(place(context).root, user, _program(), group))
    if unit is not None and unit not in units:
        raise Unknown(f"There is no unit {unit!a}.", hint=f"There are: {', '.join(units)}.")
    wanted = {name: text for name, text in units.items() if unit in {None, name}}
    if check is None:
        heads = [f"# {name}\n" if len(wanted) > 1 else "" for name in wanted]
        click.echo("\n".join(head + text for head, text in zip(heads, wanted.values(), strict=True)), nl=False)
        return
    if not Path(check).is_dir():
        raise Unknown(f"There is no folder {check}.", hint="Installed units are in /etc/systemd/system.")
    found: list[str] = []
    for name, text in wanted.items():
        try:
            found += [
                f"{name}: {line}" for line in _compared(Path(check) / name, text, f"tenantry edge systemd {name}")
            ]
        except Unknown:
            found.append(f"{name} is missing")
    again = "`tenantry edge systemd UNIT` prints each anew; then `systemctl daemon-reload`."
    context.exit(_told(found, f"{', '.join(wanted)} in {check}: all as it should be.", again))


def _compared(path: Path, wanted: str, command: str) -> Sequence[str]:
    from tenantry.edge import compare

    try:
        installed = path.read_text("utf-8", "replace")
    except FileNotFoundError as error:
        raise Unknown(f"There is no file {path}.", hint=f"`{command} > {path}` makes it.") from error
    except IsADirectoryError as error:
        raise Invalid(f"{path} is a folder.", hint="Give the installed file.") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}.", hint="See that you may read it.") from error
    return compare(installed, wanted)


def _told(found: Sequence[str], well: str, again: str) -> int:
    """Print what differs and what to do `again`, or that nothing does, and return the exit code."""
    for line in found[:_TOLD]:
        paper.tell(line)
    if len(found) > _TOLD:
        paper.tell(f"and {len(found) - _TOLD} more")
    if found:
        click.echo(again, err=True)
    else:
        paper.tell(well)
    return 1 if found else 0


def _program() -> tuple[str, ...]:
    """Name the command by its whole path: units know no PATH."""
    own = Path(sys.executable).parent / "tenantry"
    return (str(own),) if own.is_file() else (sys.executable, "-m", "tenantry")
