"""What every page shares: its title and colour, its headers, and the pages for what went wrong."""

import zlib
from datetime import datetime
from pathlib import Path
from typing import cast

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from tenants.gazette.models import Account

ACCENTS = ("pine", "sea", "ink", "plum", "rust", "ochre")

_STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_WRONG = {
    400: ("That did not arrive whole", "The browser sent something this site cannot read. Please try again."),
    403: ("This is not yours to change", "Only who wrote an entry, or the owner of the site, may change it."),
    404: ("There is no such page", "It may have been deleted, or the address has a typing error."),
    405: ("This cannot be done here", "The address is right, only it is not meant to be used in this way."),
    413: ("That is too long", "An entry has room for 50,000 characters. Please go back and send it in parts."),
    500: ("Something broke here", "This is our mistake, not yours. Nothing was lost that was saved before."),
}

pages = Blueprint("pages", __name__)


@pages.app_template_global()
def site_title() -> str:
    """Name the site: its own title, else what the platform calls its tenant."""
    config = current_app.config
    return str(config.get("SITE_TITLE") or config.get("TENANT_NAME") or "Gazette")


@pages.app_template_global()
def site_accent() -> str:
    """Choose the site's colour: the one in its config, else one that its title always gives."""
    chosen = current_app.config.get("SITE_ACCENT")
    return chosen if chosen in ACCENTS else ACCENTS[zlib.crc32(site_title().encode()) % len(ACCENTS)]


@pages.app_template_global()
def reader() -> Account | None:
    """Get the account of whoever is signed in; asks the database once a request, and only when called."""
    return cast(Account, current_user) if current_user.is_authenticated else None


@pages.app_template_global()
def asset(name: str) -> str:
    """Spell the address of a static file, with its age in it, so that browsers may keep it for long."""
    return url_for("static", filename=name, v=f"{(_STATIC / name).stat().st_mtime_ns:x}")


@pages.app_template_filter()
def day(moment: datetime) -> str:
    """Spell a date as people write it: 4 November 2026."""
    return f"{moment.day} {moment:%B %Y}"


@pages.after_app_request
def guard(response: Response) -> Response:
    """Let a page load nothing from elsewhere, and let no cache show one reader's page to another."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", _POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "private, no-cache")
    return response


@pages.app_errorhandler(CSRFError)
def form_expired(_error: CSRFError) -> Response:
    """Say that a form lay too long, and give back what was written in it."""
    kept = [request.form[name] for name in ("title", "body") if request.form.get(name)]
    return make_response(render_template("form_expired.html", kept=kept), 400)


@pages.app_errorhandler(HTTPException)
def went_wrong(error: HTTPException) -> Response:
    """Show what went wrong as a page of this site, with the headers that belong to it."""
    heading, says = _WRONG.get(error.code or 500, ("That did not work", error.description or ""))
    response = cast(Response, error.get_response())
    response.data = _apology(error.code, heading, says)
    response.content_type = "text/html; charset=utf-8"
    return response


def _apology(code: int | None, heading: str, says: str) -> str:
    # After a failure nobody is looked up: the database may be what failed.
    return render_template("error.html", code=code, heading=heading, says=says, nobody=(code or 500) >= 500)
