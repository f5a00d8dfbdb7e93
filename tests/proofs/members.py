"""A club with a door: who is let in by Flask-Login, by a session and by its remember-me cookie; as a bare factory.

Everybody who comes in is member 1, at every tenant: nothing but the keys tells them apart. Where its config says
CARELESS the club signs with a key that all clubs know, which is the flaw that the proof must find.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Flask, Response, session
from flask_login import LoginManager, UserMixin, current_user, login_user

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SHARED = "a key that stands in the code of the application"


class Member(UserMixin):  # type: ignore[misc]
    """A member, known by a number."""

    id = "1"


def create_app(instance_path: str, config: Mapping[str, object]) -> Flask:
    """Make the club of one tenant."""
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(config)
    sign_ins = LoginManager(app)
    sign_ins.user_loader(_member)
    app.add_url_rule("/come-in", view_func=_come_in, methods=["POST"])
    app.add_url_rule("/who", view_func=_who)
    if config.get("CARELESS"):
        app.wsgi_app = _careless(app)  # type: ignore[assignment]
    return app


def _careless(app: Flask) -> "WSGIApplication":
    answer = app.wsgi_app

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        dict.__setitem__(app.config, "SECRET_KEY", _SHARED)  # past the platform, which does not let it be changed
        return answer(environ, start_response)

    return application


def _member(number: str) -> Member | None:
    return Member() if number == Member.id else None


def _come_in() -> str:
    session["club"] = "member"
    login_user(Member(), remember=True)
    return "welcome"


def _who() -> Response:
    """Tell who is here, and what the session says; nobody and nothing for strangers."""
    here = "member" if current_user.is_authenticated else "nobody"
    return Response(f"{here}, {session.get('club', 'nothing')}", mimetype="text/plain")
