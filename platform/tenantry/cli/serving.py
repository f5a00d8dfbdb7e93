"""Commands that serve: serve, dev."""

from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.completing import tenant_names
from tenantry.cli.place import Place, command_line, place

if TYPE_CHECKING:
    from tenantry.assembly.serving import Started

_PORT = click.IntRange(0, 65535)


@click.command("serve")
@click.option("--host", help="The address on which the server listens.")
@click.option("--port", "-p", type=_PORT, help="The port; 0 picks a free one.")
@click.option("--instance", metavar="FOLDER", help="The folder of everything the platform keeps.")
@click.option("--no-demo", is_flag=True, help="Make no demo tenants in an empty instance folder.")
@click.option("--open", "opens", is_flag=True, help="Open a browser once the server answers.")
@click.pass_context
def serve_command(context: click.Context, /, no_demo: bool, opens: bool, **given: str | int | None) -> None:
    """Serve all tenants until Ctrl-C or SIGTERM.

    What has begun by then is finished. On an empty instance folder two demo tenants are made first.
    """
    from tenantry.assembly.serving import serve

    where = place(context, **given)

    def announce(started: "Started") -> None:
        _announce(started, where)
        if opens:
            import webbrowser

            webbrowser.open(next((url for _, urls in started.tenants for url in urls), started.front_url))

    context.exit(serve(where.root, where.overrides, demo=not no_demo, announce=announce))


@click.command("dev")
@click.argument("name", shell_complete=tenant_names)
@click.option("--port", "-p", type=_PORT, default=8001, show_default=True, help="The port on the loopback address.")
@click.pass_context
def dev_command(context: click.Context, /, name: str, port: int) -> None:
    """Serve one tenant with reloader and debugger.

    On the loopback address only: whoever reaches the debugger may run anything.
    """
    from tenantry.assembly.serving import dev

    where = place(context)
    context.exit(dev(where.root, where.overrides, name, port))


def _announce(started: "Started", where: Place) -> None:
    """Print the first screen: where everything is, and how to go on."""
    lines = []
    wide = max((len(name) for name, _ in started.tenants), default=0)
    for name, urls in started.tenants:
        lines += [f"{name if index == 0 else '':{wide}}  {url}" for index, url in enumerate(urls)]
    if started.more:
        lines.append(f"and {started.more} more: {command_line(where)} list")
    if not lines:
        lines.append(started.front_url)
    lines += [
        "",
        f"Data folder   {started.instance}",
        f"Add a tenant  {command_line(where)} add initech",
        "Stop          Ctrl-C",
    ]
    paper.box(f"Tenantry {started.version}", lines)
