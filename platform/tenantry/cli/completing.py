"""What a shell is told when it completes: names of tenants and applications, with nothing imported that serves."""

from collections.abc import Callable

import click

from tenantry.cli.place import Place, place


def tenant_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a tenant; where a removal is to be undone, of a removed one."""
    from tenantry.assembly.names import names

    if context.params.get("undo"):
        return removed_names(context, parameter, incomplete)
    return _quietly(context, lambda where: names(where.root, where.overrides, incomplete), incomplete)


def removed_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a removed tenant."""
    from tenantry.assembly.names import names

    return _quietly(context, lambda where: names(where.root, where.overrides, incomplete, removed=True), incomplete)


def applications(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of an application."""
    from tenantry.assembly.names import applications

    return _quietly(context, lambda where: applications(where.root), incomplete)


def attack_parts(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a part of the attack."""
    from tenantry.doctor.attack import PARTS

    return _quietly(context, lambda _: [part.name for part in PARTS], incomplete)


def _quietly(context: click.Context, ask: Callable[[Place], list[str]], incomplete: str) -> list[str]:
    """Ask, and stay silent where nothing can be read: a shell that completes must never show an error."""
    try:
        found = ask(place(context))
    except Exception:  # noqa: BLE001
        return []
    return [name for name in found if name.startswith(incomplete)]
