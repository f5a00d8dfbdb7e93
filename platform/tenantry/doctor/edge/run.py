"""The order of the parts, and the time that all of them have together."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from tenantry import settings
from tenantry.doctor.attack.calling import LOST, OutOfTime, Patience, within
from tenantry.doctor.checks import Check
from tenantry.doctor.edge import answers, certificates, doors, first, passing, sizes
from tenantry.doctor.edge.asking import Asker, Astray
from tenantry.doctor.edge.lines import Lines
from tenantry.doctor.edge.way import Given, trust, way
from tenantry.placement import Instance
from tenantry.registry import Registry, Terms
from tenantry.settings import Settings

# All of it; and one part, which may hang alone.
_SECONDS, _PART = 18.0, 12.0
_AT_ONCE = 4
# Custom domains that are asked for; `domain check` looks at any of the others.
_DOMAINS = 300

Look = Callable[[Asker], Iterable[Check]]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to look at; `when` tells by the settings whether there is anything to see."""

    name: str
    look: Look
    when: Callable[[Settings], bool] = lambda known: True  # noqa: ARG005


def _secure(known: Settings) -> bool:
    return known.scheme == "https"


PARTS = (
    Part("host", passing.host),
    Part("scheme", passing.scheme),
    Part("client", passing.client),
    Part("spoofs", passing.spoofs),
    Part("path", passing.path),
    Part("protocol", passing.protocol),
    Part("request id", passing.request_id),
    Part("strangers", doors.strangers),
    Part("https", doors.https, _secure),
    Part("hsts", answers.hsts, _secure),
    Part("redirects", answers.redirects),
    Part("certificate", certificates.certificate, _secure),
    Part("domains", certificates.domains, _secure),
    Part("tls", certificates.versions, _secure),
    Part("bodies", sizes.bodies),
    Part("headers", sizes.headers),
    Part("stream", answers.stream),
    Part("closed", doors.closed),
    Part("files", doors.files, lambda known: known.edge_files == "on"),
    Part("answering", answers.every),
)


def edge(
    root: Path,
    overrides: Mapping[str, object] | None,
    given: Given,
    token: Callable[[Settings], str],
    text: Callable[[], str],
) -> list[Check]:
    """Send requests through the edge in front of the checkout or working folder `root`, and tell how they arrive.

    `token` makes what leads to the probe page, `text` what nginx is to be told. Raises Invalid for settings, or an
    address, that cannot be read, and what these two raise.
    """
    known = settings.read(root, overrides=overrides).settings
    there, trusted = way(given, known), trust(given)
    names, count = _domains(known)
    asker = Asker(
        known=known,
        way=there,
        lines=Lines(text()),
        token=token(known),
        trust=trusted,
        patience=Patience(_SECONDS),
        domains=names,
        count=count,
    )
    try:
        seen = first.reached(asker)
    except Astray as astray:
        return [_not_ok("edge", astray)]
    begun = [Check("edge", True, f"{there.url(there.domain, '/')} is answered at {there.host}:{there.gate}")]
    if there.direct:
        begun += looked(asker, Part("dns", first.dns))
    chosen = [part for part in PARTS if part.when(known)]
    with ThreadPoolExecutor(_AT_ONCE, "edge") as threads:
        found = list(threads.map(partial(looked, asker), chosen))
    return [*begun, *first.server(asker, seen), *(check for checks in found for check in checks)]


def looked(asker: Asker, part: Part) -> list[Check]:
    """Look at one thing; whatever happens, something is said of it."""
    try:
        seconds = asker.patience.left(_PART)
        return within(seconds, lambda: list(part.look(asker.within(0.9 * seconds))))
    except Astray as astray:
        return [_not_ok(part.name, astray)]
    except (TimeoutError, OutOfTime):
        return [Check(part.name, False, "There was no answer in time.", "nginx's log says what it waits for.")]
    except LOST as error:
        why = " ".join(str(error).split()) or type(error).__name__
        says = f"The connection ended without a whole answer: {why}."
        return [Check(part.name, False, says, "nginx's log says why.")]


def _not_ok(name: str, astray: Astray) -> Check:
    return Check(name, False, astray.fault.says, astray.fault.hint)


def _domains(known: Settings) -> tuple[tuple[str, ...], int]:
    """Return the custom domains that are asked for, and how many there are."""
    instance = Instance(known.instance)
    if not instance.registry.is_file():
        return (), 0
    with Registry.open(instance.registry, terms=Terms(rehearsal=True)) as registry:
        found = (domain for page in registry.domain_pages() for domain in page.domains)
        some = tuple(islice(found, _DOMAINS))
        return some, len(some) + sum(1 for _ in found)
