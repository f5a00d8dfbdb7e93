"""An application that has nginx send its files, and tries to have it send what is not its own."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request, send_file

HERE = Path(__file__).parent


def create_app(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make it: static files of its own and of a blueprint, and any file that it is asked for."""
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(config)
    app.config["USE_X_SENDFILE"] = True
    for name in ("static", "assets"):
        folder = HERE / "pages" / name
        app.register_blueprint(Blueprint(f"pages_{name}", __name__, static_folder=folder, url_prefix=f"/pages/{name}"))
    app.add_url_rule("/file", view_func=_file, methods=["GET", "POST"])
    app.add_url_rule("/meanwhile", view_func=_meanwhile)
    app.add_url_rule("/order", view_func=_order)
    return app


def _file() -> Response:
    """Send whatever is asked for, by a path from the root or from the tenant's own files."""
    made = send_file(
        Path(current_app.instance_path) / request.args["name"], **json.loads(request.args.get("how", "{}"))
    )
    made.headers["X-Frame-Options"] = "DENY"
    made.set_cookie("seen", "yes")
    return made


def _meanwhile() -> Response:
    """Have a file sent, and once that has been decided put a link in its place, or nothing."""
    target = Path(current_app.instance_path) / "meanwhile.txt"
    target.unlink(missing_ok=True)
    target.write_text("its own")
    return Response(_replaced(target, request.args["by"]), headers={"X-Sendfile": str(target)})


def _replaced(target: Path, by: str) -> Iterator[bytes]:
    target.unlink()
    if by:
        target.symlink_to(by)
    yield b""


def _order() -> Response:
    """Say anything at all to nginx."""
    return Response("hello", headers={request.args["name"]: request.args["value"]})
