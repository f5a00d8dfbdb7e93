"""Groups of commands that are imported when they are needed, and the one place where errors become lines."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Commands(click.Group):
    """A group in which a typing error gets a suggestion, in one line, whatever the version of click."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they were made."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or suggest the one that was meant."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1, cutoff=0.5)
            also = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"No such command {args[0]!r}.{also}", ctx)
        return super().resolve_command(ctx, args)


class Root(Commands):
    """The group of all commands, in sections: of each the file, read when it is asked for, and its help."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, tuple[str, str]]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._sections = sections
        self._files = {name: file for section in sections.values() for name, (file, _) in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they were given."""
        del ctx
        return list(self._files)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's file and return the command."""
        del ctx
        if cmd_name not in self._files:
            return None
        found = getattr(import_module(f"tenantry.cli.{self._files[cmd_name]}"), f"{cmd_name}_command")
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one of them."""
        del ctx
        width = max(map(len, self._files))
        for title, section in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", line) for name, (_, line) in section.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and turn whatever it raises into one line and an exit code.

        Here and not in `main`, so that `flask tenants` behaves in the same way.
        """
        # click itself knows neither of these two customs.
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        elif os.environ.get("FORCE_COLOR"):
            ctx.color = True
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:
            from tenantry.cli.failures import report

            raise click.exceptions.Exit(report(error, debug=bool(ctx.params.get("debug")))) from error
