"""The doors: sign up, sign in, sign out, and the one-time link for the owner."""

from urllib.parse import urlsplit

import click
from flask import (
    Blueprint,
    abort,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, login_user, logout_user
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from tenants.gazette import people
from tenants.gazette.forms import Newcomer, Visitor
from tenants.gazette.models import Account
from tenants.gazette.pages import reader

accounts = Blueprint("accounts", __name__, cli_group=None)
sign_ins = LoginManager()
sign_ins.user_loader(people.by_cookie)
# A phone changes its address all day; what the cookie carries is signed and sealed already.
sign_ins.session_protection = None


def sign_up_open() -> bool:
    """Tell whether any visitor may make an account; a word that is no clear yes means no."""
    return str(current_app.config.get("SIGN_UP_OPEN", False)).strip().lower() in {"true", "yes", "on", "1"}


accounts.add_app_template_global(sign_up_open)


@accounts.before_app_request
def ignore_remember_cookie() -> None:
    """Hide Flask-Login's second cookie: here a remembered sign-in is a session that lasts.

    That cookie carries no date, cannot be deleted when it is Secure and named __Host-, and breaks every page when
    somebody plants one with letters beyond ASCII.
    """
    name = current_app.config.get("REMEMBER_COOKIE_NAME", "remember_token")
    if name in request.cookies:
        kept = [(key, value) for key, value in request.cookies.items(multi=True) if key != name]
        request.cookies = ImmutableMultiDict(kept)


def signed_in() -> Account:
    """Get the account of this request's visitor, or send them to sign in and back to this page."""
    account = reader()
    if account is None:
        flash("Please sign in first.", "note")
        abort(redirect(url_for("accounts.sign_in", next=request.path), 303))
    return account


@accounts.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """Show the form, or open the door that name and password open."""
    if reader():
        return redirect(_next(), 303)
    visitor = Visitor.read(request.form)
    if request.method == "POST":
        account = people.authenticate(visitor.name, visitor.password)
        if account:
            return _welcome(account, f"Welcome back, {account.name}.", remember=visitor.remember)
        visitor.errors["name"] = "Name and password do not belong together. Please try again."
    return _form("sign_in.html", visitor)


@accounts.route("/sign-up", methods=["GET", "POST"])
def sign_up() -> ResponseReturnValue:
    """Show the form, or add an account; the first one of an open site owns it."""
    if reader():
        return redirect(url_for("entries.index"), 303)
    if not sign_up_open():
        return render_template("sign_up_closed.html"), 403
    newcomer = Newcomer.read(request.form)
    if request.method == "POST":
        account = _join(newcomer, as_owner=not people.has_accounts())
        if account:
            return _welcome(account, f"Welcome, {account.name}.")
    else:
        newcomer.errors.clear()
    return _form("sign_up.html", newcomer, action=url_for("accounts.sign_up"))


@accounts.route("/welcome/<token>", methods=["GET", "POST"])
def welcome(token: str) -> ResponseReturnValue:
    """Let the owner in by the one-time link: it opens only a site that nobody has joined."""
    try:
        if not people.check_owner_token(token):
            abort(404)
    except people.LinkSpent:
        return _spent("This link was good for a day, and the day is over.")
    if people.has_accounts():
        return _spent("This link worked once, and somebody has used it.")
    newcomer = Newcomer.read(request.form)
    if request.method == "POST":
        account = _join(newcomer, as_owner=True)
        if account:
            return _welcome(account, f"Welcome, {account.name}. This site is yours.")
        if people.has_accounts():
            return _spent("Somebody was faster and has used this link.")
    else:
        newcomer.errors.clear()
    return _form("sign_up.html", newcomer, action=url_for("accounts.welcome", token=token), owner=True)


@accounts.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """Forget who this visitor is."""
    logout_user()
    session.clear()
    flash("You are signed out.", "done")
    return redirect(url_for("entries.index"), 303)


@accounts.cli.command("owner-link")
def owner_link() -> None:
    """Print the link that lets the owner of this site in: once, within 24 hours."""
    if people.has_accounts():
        raise click.ClickException("This site has its first account already; an owner link would open nothing.")
    base = urlsplit(str(current_app.config.get("PUBLIC_URL") or ""))
    address = current_app.url_map.bind(
        base.netloc, script_name=base.path.rstrip("/") + "/", url_scheme=base.scheme or "http"
    )
    click.echo(address.build("accounts.welcome", {"token": people.owner_token()}, force_external=bool(base.netloc)))


def _join(newcomer: Newcomer, *, as_owner: bool) -> Account | None:
    if "name" not in newcomer.errors and people.by_name(newcomer.name):
        newcomer.errors["name"] = "Somebody here has that name already. Please choose another."
    if newcomer.errors:
        return None
    try:
        return people.join(newcomer.name, newcomer.password, as_owner=as_owner)
    except people.Taken:
        newcomer.errors["name"] = "Somebody else joined at this very moment. Please send the form again."
        return None


def _welcome(account: Account, says: str, *, remember: bool = False) -> Response:
    target = _next()
    # A session from before is not carried over: whoever planted it must not know the new one's CSRF token.
    session.clear()
    session.permanent = remember
    login_user(account)
    flash(says, "done")
    return redirect(target, 303)


def _form(template: str, form: Newcomer | Visitor, **facts: object) -> ResponseReturnValue:
    response = make_response(render_template(template, form=form, **facts), 422 if form.errors else 200)
    # A page with a password field, or with a link that is as good as one, stays in no cache.
    response.headers["Cache-Control"] = "no-store"
    return response


def _spent(says: str) -> ResponseReturnValue:
    return render_template("error.html", code=410, heading="This link has done its work", says=says), 410


def _next() -> str:
    """Spell where to go after signing in: a page found by this site's own routes, never text as it was sent."""
    try:
        found = current_app.url_map.bind("", script_name="/").match(request.args.get("next", "/"), "GET")
    except HTTPException:
        return url_for("entries.index")
    endpoint, values = found
    return url_for(endpoint, **values) if endpoint.startswith("entries.") else url_for("entries.index")
