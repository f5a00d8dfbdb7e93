"""Applications that log as applications do that are alone in their process: `tests.listening:<name>`."""

import logging
import logging.config
import logging.handlers
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from flask import Flask, current_app, request

SHOP = logging.getLogger("shop")
# As a module does it whose code runs once: its handler is there for all tenants of the application.
BESIDE = logging.handlers.BufferingHandler(10_000)
logging.getLogger("shop.beside").addHandler(BESIDE)


def handlers(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Add a handler to a logger by name, unless it has one: the way of most examples."""
    if not SHOP.handlers:
        SHOP.addHandler(logging.FileHandler(Path(instance_path) / "app.log"))
    SHOP.addFilter(lambda record: "drop" not in record.getMessage() or config["TENANT_NAME"] != "acme")
    return _app(instance_path, config)


def memory(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Put a buffer before the file."""
    target = logging.FileHandler(Path(instance_path) / "app.log")
    SHOP.addHandler(logging.handlers.MemoryHandler(1000, target=target))
    return _app(instance_path, config)


def basic(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Take the root logger for its own."""
    logging.basicConfig(filename=Path(instance_path) / "app.log", level=logging.DEBUG, force=True, format="%(message)s")
    return _app(instance_path, config)


def dictionary(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Configure all of logging, and disable what was there before, as is the default."""
    file = {"class": "logging.FileHandler", "filename": str(Path(instance_path) / "app.log")}
    told: dict[str, Any] = {"version": 1, "handlers": {"file": file}, "root": {"level": "DEBUG", "handlers": ["file"]}}
    logging.config.dictConfig(told)
    return _app(instance_path, config)


def parsed(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Do the same by a file of the older kind."""
    name = str(Path(instance_path) / "app.log")
    text = f"""
[loggers]
keys=root
[handlers]
keys=file
[formatters]
keys=
[logger_root]
level=DEBUG
handlers=file
[handler_file]
class=FileHandler
args=({name!r},)
"""
    logging.config.fileConfig(StringIO(text))
    return _app(instance_path, config)


def rude(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Take everything away that is in reach."""
    logging.root.handlers.clear()
    logging.root.handlers = [logging.NullHandler()]
    logging.root.setLevel(logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    logging.captureWarnings(False)
    logging.getLogger("tenantry").disabled = True
    logging.getLogger("tenantry.pool.given").propagate = False
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(partial(_record, factory))
    handler = logging.FileHandler(Path(instance_path) / "app.log")
    logging.root.addHandler(handler)
    return _app(instance_path, config)


def _record(factory: Callable[..., logging.LogRecord], *args: Any, **more: Any) -> logging.LogRecord:
    return factory(*args, **more)


def _app(instance_path: str, config: Mapping[str, Any]) -> Flask:
    app = Flask("tests.listening", instance_path=instance_path)
    app.config.from_mapping(config)
    SHOP.warning("built by %s", config["TENANT_NAME"])
    if config.get("FAIL"):
        raise RuntimeError("the factory is broken")
    app.add_url_rule("/say/<text>", view_func=_say)
    app.add_url_rule("/beside/<text>", view_func=_beside)
    app.add_url_rule("/apart/<text>", view_func=_apart)
    app.add_url_rule("/warn", view_func=_warn)
    app.add_url_rule("/print/<text>", view_func=_print)
    app.add_url_rule("/welcome/<token>", view_func=_fail)
    return app


def _say(text: str) -> str:
    SHOP.warning("%s says %s", current_app.config["TENANT_NAME"], text)
    return text


def _beside(text: str) -> str:
    logging.getLogger("shop.beside").warning("%s says %s", current_app.config["TENANT_NAME"], text)
    return text


def _apart(text: str) -> str:
    """Log from a thread of its own, through the application's own logger and one by name."""
    own = current_app.logger

    def work() -> None:
        own.warning("own %s", text)
        SHOP.warning("named %s", text)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return text


def _warn() -> str:
    warnings.warn("take care", stacklevel=1)
    return ""


def _print(text: str) -> str:
    """Write where scripts do, and where WSGI says errors go."""
    print(f"{text}\n12:00:00 INFO    forged", file=sys.stderr)
    request.environ["wsgi.errors"].write(f"{text} too\n")
    return text


def _fail(token: str) -> str:
    raise RuntimeError("went wrong")
