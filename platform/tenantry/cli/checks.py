"""Commands that look after the installation: doctor; and completion, which a shell asks for."""

import click
from click.shell_completion import get_completion_class

from tenantry.cli import paper
from tenantry.cli.place import desk, dry_run_option, is_rehearsal, place
from tenantry.errors import Invalid


@click.command("doctor")
@click.option("--repair", is_flag=True, help="First finish or undo what was interrupted.")
@dry_run_option
@paper.json_option
@click.pass_context
def doctor_command(context: click.Context, /, repair: bool, as_json: bool) -> None:
    """Check settings, folders, configs and databases.

    Exit code 1 if something is wrong.
    """
    from tenantry.doctor import examine

    if is_rehearsal(context) and not repair:
        raise Invalid("--dry-run belongs to --repair.")
    if repair and not is_rehearsal(context):
        with desk(context, mends=False) as operations:
            for mended in operations.recover():
                click.echo(f"{mended.name or mended.uid}: {mended.says}", err=True)
    where = place(context)
    checks = examine(where.root, where.overrides)
    if is_rehearsal(context):
        for check in checks:
            if check.name == "interrupted" and not check.ok:
                click.echo(f"Would be finished or undone: {check.says}", err=True)
    if as_json:
        paper.document([{"name": one.name, "ok": one.ok, "says": one.says, "hint": one.hint} for one in checks])
    else:
        words = {True: "ok", False: "wrong"}
        paper.table(
            ("check", "state", "what is so", "what to do"), [(c.name, words[c.ok], c.says, c.hint) for c in checks]
        )
    context.exit(0 if all(check.ok for check in checks) else 1)


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, /, shell: str) -> None:
    """Print the completion script of a shell.

    For bash: `source <(tenantry completion bash)` in ~/.bashrc.
    """
    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(context.find_root().command, {}, "tenantry", "_TENANTRY_COMPLETE").source())
