"""Small applications for measuring the platform around them, each named `tests.benchmarks.applications:<factory>`."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "5")]


def name_of(factory: "Callable[..., WSGIApplication]") -> str:
    """Spell a factory of this module as a tenant's application."""
    return f"{__name__}:{factory.__name__}"


def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer hello: the trivial application that costs are added to."""
    start_response("200 OK", _HEADERS)
    return [b"hello"]


def trivial(instance_path: str, config: Mapping[str, object]) -> "WSGIApplication":
    """Make the trivial application; each call leaves a line in the file that BUILDS names."""
    _count(config)
    return answer


def slow(instance_path: str, config: Mapping[str, object]) -> "WSGIApplication":
    """Make the trivial application, after as many seconds as BUILD_SECONDS says."""
    _count(config)
    time.sleep(float(str(config["BUILD_SECONDS"])))
    return answer


def hanging(instance_path: str, config: Mapping[str, object]) -> "WSGIApplication":
    """Make an application that hangs for HANG_SECONDS in each request but those for /ready."""
    seconds = float(str(config["HANG_SECONDS"]))

    def hang(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/ready":
            time.sleep(seconds)
        return answer(environ, start_response)

    return hang


def hello(instance_path: str | None = None, config: Mapping[str, object] | None = None) -> Flask:
    """Make the hello of Flask's manual."""
    app = Flask("hello", instance_path=instance_path)
    app.config.from_mapping(config or {})

    @app.get("/")
    def index() -> str:
        return "Hello, World!"

    return app


def bare() -> Flask:
    """Make the hello that stands alone behind another server."""
    return hello()


def keyed() -> Flask:
    """Make the same with a SECRET_KEY, which every tenant has: Flask then opens a session in each request."""
    return hello(config={"SECRET_KEY": "0123456789abcdef" * 4})


def _count(config: Mapping[str, object]) -> None:
    """Append one line, in one write, so that builds of several processes are counted in one file."""
    builds = config.get("BUILDS")
    if builds:
        with Path(str(builds)).open("a") as file:
            file.write(f"{os.getpid()} built {config.get('TENANT_NAME')}\n")


def builds_in(file: Path) -> int:
    """Count the builds that left their line in a file."""
    return len(file.read_text().splitlines()) if file.exists() else 0
