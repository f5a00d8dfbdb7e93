"""A parlour, where visitors say things once they have told their name: `tests.stories.parlour:create_app`.

It protects itself against nothing, so that what keeps its tenants apart is not its own doing.
"""

from collections.abc import Mapping

from flask import Flask, Response, current_app, request, session


def create_app(instance_path: str, config: Mapping[str, object]) -> Flask:
    """Make the parlour of one tenant."""
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(config)
    app.extensions["said"] = []
    app.add_url_rule("/", view_func=_home)
    app.add_url_rule("/come-in/<name>", view_func=_come_in)
    app.add_url_rule("/say", view_func=_say, methods=["POST"])
    app.add_url_rule("/said", view_func=_said)
    app.add_url_rule("/toss", view_func=_toss)
    app.add_url_rule("/cookies", view_func=_cookies)
    return app


def _home() -> str:
    who = session.get("name")
    return f"The secret of {current_app.config['TENANT_NAME']}, told to {who}." if who else "Who is there?"


def _come_in(name: str) -> Response:
    session["name"] = name
    return _page("Come in.")


def _say() -> Response:
    current_app.extensions["said"].append(request.form["text"])
    return _page("It was heard.")


def _said() -> str:
    return ", ".join(current_app.extensions["said"])


def _toss() -> Response:
    """Set a cookie as the visitor's query says: `?cookie=...`."""
    answer = _page("Caught.")
    answer.headers.add("Set-Cookie", request.args["cookie"])
    return answer


def _cookies() -> str:
    return "; ".join(sorted(request.cookies))


def _page(text: str) -> Response:
    return Response(f"<!doctype html><title>Parlour</title><p>{text}</p>", content_type="text/html")
