"""Serve every tenant: `python3 serve.py` sets itself up first, in .venv, and then is `tenantry serve`.

Other WSGI servers find `serve:application` here, and `flask --app serve` finds `create_app`. Importing opens nothing.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "platform"))

import bootstrap

if __name__ == "__main__":
    bootstrap.ensure("run")

import atexit
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from flask import Flask

from tenantry import cli
from tenantry.assembly.platform import open_platform

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Entrance:
    """The platform of one checkout as a WSGI callable: its first request opens it, the end of the process closes it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opening = Lock()
        self._application: WSGIApplication | None = None

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        return (self._application or self._open())(environ, start_response)

    def _open(self) -> "WSGIApplication":
        with self._opening:
            if self._application is None:
                platform = open_platform(self._root)
                atexit.register(platform.close)
                self._application = platform.application
            return self._application


application = Entrance(ROOT)


def create_app() -> Flask:
    """Make the Flask object of `flask --app serve`: `run` serves the tenants, `tenants` is the `tenantry` command."""
    app = Flask(__name__, instance_path=str(ROOT / "instance"), static_folder=None)
    app.wsgi_app = application  # type: ignore[method-assign]
    app.cli.add_command(cli.tenants_group, "tenants")
    return app


if __name__ == "__main__":
    sys.exit(cli.main(["serve", *sys.argv[1:]]))
