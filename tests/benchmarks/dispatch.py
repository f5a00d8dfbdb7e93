"""Dispatch with lease over a trivial application, in process, beside the manual's recipe."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tenantry.dispatch import PathDispatcher, SubdomainDispatcher
from tests.benchmarks import recipe
from tests.benchmarks.applications import answer
from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.timing import fetch, interleave, per_call, request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_DOMAIN = "example.com"


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure what each of the two dispatchers adds to one request."""
    return [
        _figure(
            "subdomain",
            {
                "bare": answer,
                "recipe": recipe.SubdomainDispatcher(_DOMAIN, lambda _: answer),
                "ours": SubdomainDispatcher(_DOMAIN, lambda _: answer),
            },
            request(f"acme.{_DOMAIN}"),
            effort,
        ),
        _figure(
            "path",
            {
                "bare": answer,
                "recipe": recipe.PathDispatcher(answer, lambda _: answer),
                "ours": PathDispatcher(answer, lambda _: answer),
            },
            request(_DOMAIN, "/acme/x/y"),
            effort,
        ),
    ]


def _figure(by: str, candidates: "dict[str, WSGIApplication]", environ: "WSGIEnvironment", effort: Effort) -> Figure:
    for candidate in candidates.values():
        assert fetch(candidate, environ) == ("200 OK", b"hello")
    calls = effort.choose(1000, 500)
    cost = interleave(
        {name: partial(per_call, candidate, environ, calls) for name, candidate in candidates.items()},
        effort.choose(301, 11),
    )
    ours, theirs = cost.added("ours", to="bare"), cost.added("recipe", to="bare")
    return Figure(
        name=f"dispatch by {by}",
        what=f"added to a trivial application by dispatch with lease, by {by}, against the manual's recipe",
        unit="us",
        measured=ours,
        baseline=theirs,
        value=ratio(ours, theirs),
        reach=Reach(limit=1.5),
        detail=f"the trivial application alone: {cost.median('bare'):.2f} us",
    )
