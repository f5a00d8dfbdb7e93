"""The platform's own pages: errors, and the front page of the bare domain. Rendered from memory alone."""

import base64
import hashlib
import json
from functools import lru_cache
from html import escape
from http import HTTPStatus
from importlib.resources import files
from string import Template
from urllib.parse import urlsplit

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

Page = tuple[bytes, list[tuple[str, str]]]

HTML = "text/html; charset=utf-8"
PROBLEM = "application/problem+json"

_FOLDER = files("tenantry.gateway").joinpath("pages")
_STYLE = _FOLDER.joinpath("style.css").read_text("utf-8").strip()
_ERROR = Template(Template(_FOLDER.joinpath("error.html").read_text("utf-8")).safe_substitute(style=_STYLE))
_MAINTENANCE = Template(Template(_FOLDER.joinpath("maintenance.html").read_text("utf-8")).safe_substitute(style=_STYLE))
_FRONT = Template(Template(_FOLDER.joinpath("front.html").read_text("utf-8")).safe_substitute(style=_STYLE))

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOTHING = "default-src 'none'; frame-ancestors 'none'"

# What a person reads first, and a sentence for when nobody said one.
_WORDS = {
    400: ("This request makes no sense here", "Something in it is malformed."),
    403: ("Not open", "This may not be seen at the moment."),
    404: ("There is nothing here", "No site or page answers at this address."),
    405: ("Not in this way", "The address is right, but it cannot be used like this."),
    413: ("This is too large", "The request's body is larger than it may be here."),
    429: ("Too many requests", "This site is asked for more than it may be at the moment."),
    500: ("Something broke", "The mistake is on our side."),
    503: ("Not ready yet", "The site cannot answer at this moment."),
    507: ("No room left", "This site has no room for more."),
}
_NOT_FOUND_HINT = "Please look at the address once more: a letter may be missing, or the site may have moved."
_SHOWS_REQUEST = frozenset({500, 503})
# Seconds after which a page of maintenance that was left open looks again, at the latest.
_LOOKS_AGAIN = 600


def error_page(status: int, says: str, hint: str, accept: str, request_id: str = "") -> Page:
    """Make the body and headers of an error, as a page or as problem+json (RFC 9457), by the Accept header.

    A 404 shows none of `says` and `hint`, so that what never was and what is no more are the same bytes; only what may
    be the platform's own mistake shows `request_id`.
    """
    fallback = _WORDS.get(status, ("", _phrase(status)))[1]
    if status == HTTPStatus.NOT_FOUND:
        says, hint = fallback, _NOT_FOUND_HINT
    says, number = says or fallback, request_id if status in _SHOWS_REQUEST else ""
    if _prefers_json(accept):
        detail = f"{says} {hint}".strip()
        problem = _problem(status, detail, number) if number else _kept_problem(status, detail)
        return _page(problem, PROBLEM, _NOTHING)
    page = _html(status, says, hint, number) if number else _kept_html(status, says, hint)
    return _page(page, HTML, _POLICY)


def maintenance_page(says: str, retry_after: int, accept: str, method: str = "GET") -> Page:
    """Make the body and headers of a maintenance: somebody has shut the site for a while, and nothing is broken.

    A page that was asked for by GET looks again by itself; another one would be asked for in another way than it was.
    """
    if _prefers_json(accept):
        return _page(_kept_problem(HTTPStatus.SERVICE_UNAVAILABLE, says), PROBLEM, _NOTHING)
    return _page(_maintenance(says, min(retry_after, _LOOKS_AGAIN) if method == "GET" else 0), HTML, _POLICY)


def front_page(domain_url: str) -> Page:
    """Make the front page of the bare domain `domain_url` (such as http://localhost:8000/). It names no tenant."""
    return _page(_front(domain_url), HTML, _POLICY)


def _prefers_json(accept: str) -> bool:
    # Nearly nobody asks for it, so nearly nobody pays for the parser; a header this long has only itself to blame.
    return "json" in accept.lower() and len(accept) <= 1000 and _json_is_best(accept)


@lru_cache(maxsize=64)
def _json_is_best(accept: str) -> bool:
    wanted = parse_accept_header(accept, MIMEAccept)
    return wanted.best_match(("text/html", PROBLEM, "application/json"), "text/html") != "text/html"


def _problem(status: int, detail: str, request_id: str = "") -> bytes:
    facts: dict[str, object] = {"type": "about:blank", "title": _phrase(status), "status": status, "detail": detail}
    if request_id:
        facts["request_id"] = request_id
    return (json.dumps(facts) + "\n").encode()


def _html(status: int, says: str, hint: str, number: str = "") -> bytes:
    title, _ = _WORDS.get(status, (_phrase(status), ""))
    more = f'<p class="hint">{escape(hint)}</p>\n' if hint else ""
    if number:
        more += f'<p class="small">If you report this, give its number: <code>{escape(number)}</code></p>\n'
    return _ERROR.substitute(status=status, title=escape(title), says=escape(says), more=more).encode()


# The few errors that many visitors see are kept; the bound keeps out what strangers make up.
_kept_html = lru_cache(maxsize=64)(_html)
_kept_problem = lru_cache(maxsize=64)(_problem)


@lru_cache(maxsize=64)
def _maintenance(says: str, seconds: int) -> bytes:
    again = f'<meta http-equiv="refresh" content="{seconds}">\n' if seconds > 0 else ""
    hint = '<p class="hint">You can leave this page open: it looks again by itself.</p>\n' if again else ""
    return _MAINTENANCE.substitute(again=again, says=escape(says), hint=hint).encode()


@lru_cache(maxsize=8)
def _front(domain_url: str) -> bytes:
    parts = urlsplit(domain_url)
    return _FRONT.substitute(before=escape(f"{parts.scheme}://"), after=escape(parts.netloc)).encode()


def _page(body: bytes, kind: str, policy: str) -> Page:
    return body, [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", policy),
    ]


def _phrase(status: int) -> str:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "Content Too Large"  # its name since RFC 9110, and in Python from 3.13 on
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
