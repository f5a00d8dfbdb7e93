"""Commands on what a tenant is called and where it is found: rename, domain."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.claiming import domain_cell, domain_named, tell_claims, trust_option
from tenantry.cli.completing import tenant_names
from tenantry.cli.group import Commands
from tenantry.cli.place import be, desk, dry_run_option, is_rehearsal
from tenantry.cli.spelling import claim_document

if TYPE_CHECKING:
    from tenantry.operations import Checked

name_argument = click.argument("name", shell_complete=tenant_names)
override_option = click.option(
    "--override", is_flag=True, help="Allow a name that is reserved, retired or like another's; the journal says so."
)


@click.command("rename")
@name_argument
@click.argument("new")
@click.option(
    "--grace",
    type=click.FloatRange(0, 3650),
    metavar="DAYS",
    help="How long the old name leads to the new one; see TENANTRY_GRACE_DAYS.",
)
@override_option
@dry_run_option
@click.pass_context
def rename_command(context: click.Context, /, name: str, new: str, grace: float | None, override: bool) -> None:
    """Give a tenant another name; the old one leads there.

    Its folder, key, config and data stay as they are. The old addresses answer 308 until the grace ends.
    """
    with desk(context) as operations:
        days = None if grace is None else timedelta(days=grace)
        done = operations.rename(name, new, days, override)
    if not done.changed:
        paper.tell(f"{name} is called that already.")
        return
    paper.tell(f"{name} {be(context)} renamed to {done.tenant.name}.")
    for url in done.urls:
        paper.tell(f"  {url}")
    if done.until:
        paper.tell(f"  The old name leads there until {done.until[:10]}.")


@click.group("domain", cls=Commands, invoke_without_command=True)
@click.pass_context
def domain_command(context: click.Context) -> None:
    """Give a tenant domains of its own."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@domain_command.command("add")
@name_argument
@click.argument("domain")
@click.option("--primary", is_flag=True, help="Send visitors of its other domains to this one.")
@trust_option
@dry_run_option
@click.pass_context
def add_command(context: click.Context, /, name: str, domain: str, primary: bool, trust: bool) -> None:
    """Claim a domain, and answer there once the DNS proves it.

    What is to be set in the DNS is printed; `tenantry domain check` looks whether it is there.
    """
    from tenantry import address

    with desk(context) as operations:
        done = operations.domain_add(name, domain, primary, trust)
    kept = address.domain(domain)
    if any(one.domain == kept for one in done.claims):
        word = be(context) if done.changed else "is already"
        paper.tell(f"{domain_named(kept)} {word} claimed for {done.tenant.name}; it is no address yet.")
        tell_claims(done.tenant.name, [one for one in done.claims if one.domain == kept])
        return
    what = "the primary domain" if done.tenant.domain == kept else "a domain"
    paper.tell(f"{domain_named(kept)} {be(context) if done.changed else 'is already'} {what} of {done.tenant.name}.")


@domain_command.command("check")
@name_argument
@click.argument("domain", default="")
@dry_run_option
@paper.json_option
@click.pass_context
def check_command(context: click.Context, /, name: str, domain: str, as_json: bool) -> None:
    """Look at domains in the DNS, and answer at those it proves.

    Exit code 1 if one of them is not verified yet.
    """
    with desk(context) as operations, paper.patience("Asking the DNS."):
        done = operations.domain_check(name, domain)
    if as_json:
        paper.document([_checked_document(one) for one in done.domains])
    else:
        words = {True: "ok", False: "wrong", None: "unsure"}
        rows = [
            (domain_cell(one.domain), found.about.value, words[found.good], found.says, found.hint)
            for one in done.domains
            for found in one.findings
        ]
        paper.table(("domain", "about", "state", "what is so", "what to do"), rows)
        for one in done.domains:
            if one.changed:
                click.echo(f"{domain_named(one.domain)} {be(context)} a domain of {done.tenant.name} now.", err=True)
        if not done.domains and paper.on_terminal():
            paper.tell(f"{name} has no domain of its own: `tenantry domain add {name} DOMAIN` claims one.")
    context.exit(0 if all(one.verified for one in done.domains) else 1)


@domain_command.command("remove")
@name_argument
@click.argument("domain")
@dry_run_option
@click.pass_context
def remove_command(context: click.Context, /, name: str, domain: str) -> None:
    """Answer at a domain no more, or claim it no more."""
    from tenantry import address

    with desk(context) as operations:
        done = operations.domain_remove(name, domain)
    word = "would no longer be" if is_rehearsal(context) else "is no longer"
    paper.tell(f"{domain_named(address.domain(domain))} {word} a domain of {done.tenant.name}.")
    if done.tenant.domain:
        paper.tell(f"  Its primary one {be(context)} {domain_named(done.tenant.domain)}.")


@domain_command.command("list")
@name_argument
@paper.json_option
@click.pass_context
def list_command(context: click.Context, /, name: str, as_json: bool) -> None:
    """List the domains of a tenant, the primary one first."""
    with desk(context) as operations:
        found = sorted(operations.domain_list(name), key=lambda one: not one.primary)
        claims = operations.domain_claims(name)
    if as_json:
        none: dict[str, object] = {"record": None, "target": None}
        had = [
            {"domain": one.domain, "primary": one.primary, "url": one.url, "verified": True, **none} for one in found
        ]
        paper.document([*had, *({**claim_document(one), "url": None} for one in claims)])
        return
    if not (found or claims) and paper.on_terminal():
        paper.tell(f"{name} has no domain of its own: `tenantry domain add {name} DOMAIN` claims one.")
    rows = [(domain_cell(one.domain), "primary" * one.primary, one.url) for one in found]
    waiting = [(domain_cell(one.domain), "claimed", f'{one.record} TXT "{one.value}"') for one in claims]
    paper.table(("domain", "kind", "url, or what proves it"), [*rows, *waiting])


def _checked_document(one: "Checked") -> dict[str, object]:
    findings = [
        {"about": found.about.value, "good": found.good, "says": found.says, "hint": found.hint}
        for found in one.findings
    ]
    return {"domain": one.domain, "verified": one.verified, "changed": one.changed, "findings": findings}
