"""Entries: listed, shown, written, edited, deleted."""

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from tenants.gazette import people
from tenants.gazette.accounts import signed_in
from tenants.gazette.forms import Draft
from tenants.gazette.models import Account, Entry, db, now
from tenants.gazette.pages import reader

ENTRIES_A_PAGE = 11  # one at the top, and two columns of five
TEASER_LENGTH = 280
LAST_PAGE = 100_000

# A number past what a database can count is no entry's: the address is wrong, not the query.
_ENTRY = "/entries/<int(max=2147483647):number>"

entries = Blueprint("entries", __name__)


@dataclass(frozen=True, slots=True)
class Teaser:
    """An entry as the front page shows it, with the beginning of its text."""

    number: int
    title: str
    author: str
    written_at: datetime
    opening: str


@entries.get("/")
def index() -> ResponseReturnValue:
    """List the entries, newest first."""
    page = _page()
    found = _teasers(page)
    if not found and page > 1:
        abort(404)
    return render_template(
        "index.html",
        page=page,
        teasers=found[:ENTRIES_A_PAGE],
        has_older=len(found) > ENTRIES_A_PAGE,
        is_founded=bool(found) or people.has_accounts(),
    )


@entries.get(_ENTRY)
def show(number: int) -> ResponseReturnValue:
    """Show one entry."""
    entry = _get(number)
    account = reader()
    return render_template("entry.html", entry=entry, may_change=account is not None and account.may_change(entry))


@entries.route("/write", methods=["GET", "POST"])
def write() -> ResponseReturnValue:
    """Show an empty sheet, or publish what was written on it."""
    account = signed_in()
    if request.method == "GET":
        return _sheet(Draft())
    draft = Draft.read(request.form)
    if draft.errors:
        return _sheet(draft), 422
    entry = Entry(title=draft.title, body=draft.body, author=account)
    db.session.add(entry)
    db.session.commit()
    flash("Published.", "done")
    return redirect(url_for("entries.show", number=entry.id), 303)


@entries.route(_ENTRY + "/edit", methods=["GET", "POST"])
def edit(number: int) -> ResponseReturnValue:
    """Show the sheet of an entry, or save what was changed on it."""
    entry = _own(number)
    if request.method == "GET":
        return _sheet(Draft(entry.title, entry.body), entry)
    draft = Draft.read(request.form)
    if draft.errors:
        return _sheet(draft, entry), 422
    if (draft.title, draft.body) != (entry.title, entry.body):
        entry.title, entry.body, entry.changed_at = draft.title, draft.body, now()
        db.session.commit()
    flash("Saved.", "done")
    return redirect(url_for("entries.show", number=entry.id), 303)


@entries.route(_ENTRY + "/delete", methods=["GET", "POST"])
def delete(number: int) -> ResponseReturnValue:
    """Ask once, or delete an entry."""
    entry = _own(number)
    if request.method == "GET":
        return render_template("delete.html", entry=entry)
    title = entry.title
    db.session.delete(entry)
    db.session.commit()
    flash(f"Deleted “{title}”.", "done")
    return redirect(url_for("entries.index"), 303)


def _sheet(draft: Draft, entry: Entry | None = None) -> str:
    return render_template("write.html", draft=draft, entry=entry)


def _get(number: int) -> Entry:
    entry = db.session.get(Entry, number, options=[joinedload(Entry.author)])
    return entry or abort(404)


def _own(number: int) -> Entry:
    account = signed_in()
    entry = _get(number)
    if not account.may_change(entry):
        abort(403)
    return entry


def _page() -> int:
    asked = request.args.get("page", "1")
    if not (asked.isascii() and asked.isdecimal() and 1 <= int(asked[:7]) <= LAST_PAGE):
        abort(404)
    return int(asked[:7])


def _teasers(page: int) -> list[Teaser]:
    # One more than a page shows tells whether there are older ones, without counting them all.
    rows = db.session.execute(
        select(Entry.id, Entry.title, Account.name, Entry.written_at, func.substr(Entry.body, 1, TEASER_LENGTH + 1))
        .join(Entry.author)
        .order_by(Entry.written_at.desc(), Entry.id.desc())
        .limit(ENTRIES_A_PAGE + 1)
        .offset((page - 1) * ENTRIES_A_PAGE)
    )
    return [Teaser(number, title, name, at, _opening(text)) for number, title, name, at, text in rows]


def _opening(text: str) -> str:
    words = " ".join(text.split())
    if len(text) <= TEASER_LENGTH:
        return words
    return words[:TEASER_LENGTH].rpartition(" ")[0].rstrip(" ,;:-–—") + " …" if " " in words else words[:80] + "…"
