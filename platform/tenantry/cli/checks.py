"""Commands that look after the installation: doctor; and completion, which a shell asks for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

from tenantry.cli import paper
from tenantry.cli.completing import attack_parts
from tenantry.cli.place import desk, dry_run_option, is_rehearsal, place
from tenantry.errors import Invalid

if TYPE_CHECKING:
    from tenantry.doctor import Check
    from tenantry.doctor.attack import Report
    from tenantry.doctor.edge import Given


@click.command("doctor")
@click.option("--repair", is_flag=True, help="First finish or undo what was interrupted.")
@click.option("--attack", "attacks", is_flag=True, help="Attack the applications in a scratch instance instead.")
@click.option(
    "--part", "parts", metavar="PART", multiple=True, shell_complete=attack_parts, help="Of the attack only this part."
)
@click.option("--edge", "url", metavar="URL", help="Send requests through nginx, by its public address, instead.")
@click.option("--connect", metavar="HOST:PORT", help="Of --edge: connect to this server, whatever DNS says.")
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Of --edge: believe the certificate authorities in this file alone.",
)
@dry_run_option
@paper.json_option
@click.pass_context
def doctor_command(
    context: click.Context, /, repair: bool, attacks: bool, parts: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Check settings, folders, configs and databases.

    Exit code 1 if something is wrong, or has not held.
    """
    if is_rehearsal(context) and not repair:
        raise Invalid("--dry-run belongs to --repair.")
    url, connect, ca = (given[name] for name in ("url", "connect", "ca"))
    _see_one({"--attack": attacks, "--repair": repair, "--edge": url is not None})
    if parts and not attacks:
        raise Invalid("--part belongs to --attack.")
    if url is None and (connect is not None or ca is not None):
        raise Invalid(f"{'--ca' if connect is None else '--connect'} belongs to --edge.")
    if url is not None:
        from tenantry.doctor.edge import Given

        context.exit(_edge(context, Given(url, connect or "", ca), as_json))
    context.exit(_attack(context, parts, as_json) if attacks else _examine(context, repair, as_json))


def _see_one(given: dict[str, bool]) -> None:
    """Raise Invalid where more is wanted than one thing at a time."""
    wanted = [name for name, is_given in given.items() if is_given]
    if len(wanted) > 1:
        several = "two" if len(wanted) == 2 else "several"
        raise Invalid(f"{', '.join(wanted[:-1])} and {wanted[-1]} are {several} things.", hint="Give one of them.")


def _edge(context: click.Context, given: "Given", as_json: bool) -> int:
    """Ask through the edge, print how it arrives, and return the exit code."""
    from tenantry.assembly.probe import token
    from tenantry.doctor.edge import edge

    def text() -> str:
        with desk(context, mends=False) as operations:
            return operations.edge_nginx().text

    where = place(context)
    return _told(edge(where.root, where.overrides, given, token, text), as_json)


def _examine(context: click.Context, repair: bool, as_json: bool) -> int:
    """Look, print what is so, and return the exit code."""
    from tenantry.doctor import examine

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
    return _told(checks, as_json)


def _told(checks: "Sequence[Check]", as_json: bool) -> int:
    """Print what the checks say, and return the exit code."""
    if as_json:
        paper.document([{"name": one.name, "ok": one.ok, "says": one.says, "hint": one.hint} for one in checks])
    else:
        words = {True: "ok", False: "wrong"}
        paper.table(
            ("check", "state", "what is so", "what to do"), [(c.name, words[c.ok], c.says, c.hint) for c in checks]
        )
    return 0 if all(check.ok for check in checks) else 1


def _attack(context: click.Context, parts: Sequence[str], as_json: bool) -> int:
    """Attack, print what held, and return the exit code."""
    from tenantry.assembly.desk import open_operations
    from tenantry.doctor.attack import attack, named

    where, chosen = place(context), named(parts)
    with paper.progress(len(chosen)) as told:
        report = attack(where.root, where.overrides, open_operations, lambda part: told(part.name), chosen)
    if as_json:
        paper.document(_as_document(report))
    else:
        paper.table(
            ("part", "promises", "tried", "verdict", "what is so"),
            [(row.part, row.promises, row.tried, row.verdict, row.says) for row in report.rows],
        )
        for note in report.notes:
            click.echo(f"{note.says} {note.hint}".strip(), err=True)
    return 0 if report.held else 1


def _as_document(report: "Report") -> dict[str, object]:
    rows = [
        {
            "part": row.part,
            "promises": row.promises,
            "tried": row.tried,
            "verdict": row.verdict,
            "says": row.says,
            "seconds": round(row.seconds, 2),
        }
        for row in report.rows
    ]
    notes = [{"says": note.says, "hint": note.hint} for note in report.notes]
    return {"held": report.held, "seconds": round(report.seconds, 2), "rows": rows, "notes": notes}


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
