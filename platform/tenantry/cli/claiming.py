"""Claims to domains on paper: what is to be set in the DNS so that one is proved."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tenantry.cli import paper

if TYPE_CHECKING:
    from tenantry.operations import Claimed

trust_option = click.option(
    "--trust", is_flag=True, help="Ask for no proof that the domain is the tenant's; the journal says so."
)


def tell_claims(name: str, claims: "Sequence[Claimed]") -> None:
    """Print the records that prove claims, and lead visitors here, as lines of a zone file."""
    for claim in claims:
        value = claim.value or "tenantry=<a token that is drawn when it is claimed>"
        paper.tell(f'  {claim.record}. TXT "{value}"')
        paper.tell(f"  {claim.domain}. CNAME {claim.target}.")
    if claims:
        paper.tell(f"  At the top of a zone, where no CNAME can be: the A and AAAA records of {claims[0].target}.")
        paper.tell(f"`tenantry domain check {name}` looks whether they are there, and then it answers.")


def domain_named(domain: str) -> str:
    """Spell a domain as it is stored, and as people read it where that differs."""
    from tenantry import address

    readable = address.readable(domain)
    return domain if readable == domain else f"{domain} ({readable})"


def domain_cell(domain: str) -> str:
    """Spell a domain for a table: in a pipe as it is stored alone."""
    return domain_named(domain) if paper.on_terminal() else domain
