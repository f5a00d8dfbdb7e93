"""Commands that make a tenant: add, clone."""

from typing import TYPE_CHECKING

import click

from tenantry.cli import paper
from tenantry.cli.claiming import tell_claims, trust_option
from tenantry.cli.completing import applications, tenant_names
from tenantry.cli.failures import say
from tenantry.cli.naming import override_option
from tenantry.cli.place import be, desk, dry_run_option
from tenantry.cli.spelling import claim_document, tenant_document
from tenantry.cli.values import assignments
from tenantry.errors import Invalid

if TYPE_CHECKING:
    from tenantry.operations import Added


@click.command("add")
@click.argument("name")
@click.option("--title", default="", help="What the tenant is called in lists.")
@click.option(
    "--application", default="", shell_complete=applications, help="A folder of tenants/, or any module:factory."
)
@click.option("--path", is_flag=True, help="Also answer below /t/NAME/ of the base domain.")
@click.option("--domain", "domains", multiple=True, metavar="D", help="Claim this domain as well; may be repeated.")
@trust_option
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="A value of its config; may be repeated.")
@override_option
@dry_run_option
@paper.json_option
@click.pass_context
def add_command(context: click.Context, /, name: str, as_json: bool, values: tuple[str, ...], **given: object) -> None:
    """Add a tenant; it answers as soon as this ends."""
    from tenantry.operations import NewTenant

    if given["trust"] and not given["domains"]:
        raise Invalid("--trust belongs to --domain.")
    new = NewTenant(name=name, config=assignments(values), **given)  # type: ignore[arg-type]
    with desk(context, make=True) as operations:
        added = operations.add(new)
    _tell(added, f"{added.tenant.name} {be(context)} added.", as_json)


@click.command("clone")
@click.argument("name", shell_complete=tenant_names)
@click.argument("new")
@click.option("--title", help="What the new one is called in lists; else the same.")
@click.option("--path", is_flag=True, help="Also answer below /t/NEW/ of the base domain.")
@click.option("--without-secrets", is_flag=True, help="Leave the values of .env behind.")
@override_option
@dry_run_option
@paper.json_option
@click.pass_context
def clone_command(
    context: click.Context, /, name: str, new: str, without_secrets: bool, as_json: bool, **given: object
) -> None:
    """Add a tenant with the data and config of another one.

    The database is as it was at one moment, files are copied after it. Key, sessions and domains are not taken along.
    """
    from tenantry.operations import Clone

    wanted = Clone(name=new, secrets=not without_secrets, **given)  # type: ignore[arg-type]
    with desk(context) as operations, paper.patience(f"Waiting for what is being written to {name} to end."):
        added = operations.clone(name, wanted)
    _tell(added, f"{added.tenant.name} {be(context)} added with the data of {name}.", as_json)


def _tell(added: "Added", says: str, as_json: bool) -> None:
    if added.warning:
        say(added.warning)
    if as_json:
        document = tenant_document(added.tenant, added.urls)
        claims = list(map(claim_document, added.claims))
        link = {"owner_link": added.owner_link, "warning": added.warning or None}
        paper.document({**document, "claims": claims, **link})
        return
    paper.tell(says)
    for url in added.urls:
        paper.tell(f"  {url}")
    if added.claims:
        paper.tell("It claims these domains, and answers there once the DNS proves that they are its own:")
        tell_claims(added.tenant.name, added.claims)
    if added.owner_link:
        paper.tell(f"Its owner signs up here, once: {added.owner_link}")
