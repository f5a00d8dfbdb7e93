"""Applications as no operator wants them: each does to its process what it can, `tests.poisons:<name>`."""

import asyncio
import locale
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Flask, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event

never = threading.Event()


class Uncaught(BaseException):
    """What no `except Exception` catches."""


def healthy(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make the neighbour who shall not notice."""
    app = Flask("tests.poisons", instance_path=instance_path)
    app.config.from_mapping(config)
    app.add_url_rule("/", view_func=lambda: f"healthy {app.config['TENANT_NAME']}")
    return app


# In the factory


def raises(instance_path: str, config: Mapping[str, Any]) -> Flask:
    raise RuntimeError("the factory is broken")


def hides_its_words(instance_path: str, config: Mapping[str, Any]) -> Flask:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    raise Unspeakable


def hangs(instance_path: str, config: Mapping[str, Any]) -> Flask:
    never.wait(60)
    return healthy(instance_path, config)


def exits(instance_path: str, config: Mapping[str, Any]) -> Flask:
    sys.exit(3)


def interrupts(instance_path: str, config: Mapping[str, Any]) -> Flask:
    raise KeyboardInterrupt


def raises_uncaught(instance_path: str, config: Mapping[str, Any]) -> Flask:
    raise Uncaught("through everything")


def returns_none(instance_path: str, config: Mapping[str, Any]) -> Any:
    return None


def returns_number(instance_path: str, config: Mapping[str, Any]) -> Any:
    return 42


async def is_async(instance_path: str, config: Mapping[str, Any]) -> Any:
    return healthy(instance_path, config)


def recurses(instance_path: str, config: Mapping[str, Any]) -> Flask:
    return recurses(instance_path, config)


def eats_memory(instance_path: str, config: Mapping[str, Any]) -> Flask:
    bytearray(1 << 60)
    return healthy(instance_path, config)


def takes_signals(instance_path: str, config: Mapping[str, Any]) -> Flask:
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return healthy(instance_path, config)


# In the factory, and then it works


def runs_asyncio(instance_path: str, config: Mapping[str, Any]) -> Flask:
    asyncio.run(asyncio.sleep(0))
    return healthy(instance_path, config)


def forks(instance_path: str, config: Mapping[str, Any]) -> Flask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return healthy(instance_path, config)


def starts_thread(instance_path: str, config: Mapping[str, Any]) -> Flask:
    threading.Thread(target=never.wait, name="of-the-application", daemon=False).start()
    return healthy(instance_path, config)


def hangs_at_exit(instance_path: str, config: Mapping[str, Any]) -> Flask:
    import atexit

    atexit.register(never.wait)
    return healthy(instance_path, config)


def exits_at_exit(instance_path: str, config: Mapping[str, Any]) -> Flask:
    import atexit

    atexit.register(sys.exit, 9)
    return healthy(instance_path, config)


def leaves(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Change what all applications of a process share."""
    os.chdir("/")
    os.umask(0)
    socket.setdefaulttimeout(0.001)
    locale.setlocale(locale.LC_ALL, "C")
    os.environ["SOMEBODYS_SECRET"] = "everybody's"
    sys.path.append("/nowhere")
    warnings.simplefilter("ignore")
    return healthy(instance_path, config)


# In its end


def fails_to_end(instance_path: str, config: Mapping[str, Any]) -> Flask:
    return _ending(instance_path, config, lambda *_: sys.exit(4))


def hangs_in_its_end(instance_path: str, config: Mapping[str, Any]) -> Flask:
    return _ending(instance_path, config, lambda *_: never.wait(60))


def _ending(instance_path: str, config: Mapping[str, Any], act: Callable[..., object]) -> Flask:
    app = healthy(instance_path, config)
    db = SQLAlchemy(app)
    with app.app_context():
        event.listen(db.engine, "engine_disposed", act)
    return app


# In its answers


def hooks(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Raise in whichever hook the query names."""
    app = healthy(instance_path, config)

    def trap(name: str, result: Any = None) -> Any:
        if "asked" not in g:  # the request is over before its application context is
            g.asked = request.args
        if g.asked.get("in") == name:
            raise {"exit": SystemExit, "base": Uncaught}.get(g.asked.get("what", ""), RuntimeError)(f"in {name}")
        return result

    app.before_request(lambda: trap("before"))
    app.after_request(lambda response: trap("after", response))
    app.teardown_request(lambda _: trap("teardown"))
    app.teardown_appcontext(lambda _: trap("appcontext") if "asked" in g else None)
    app.url_value_preprocessor(lambda *_: trap("preprocessor"))
    app.context_processor(lambda: trap("context", {}))
    app.register_error_handler(404, lambda error: trap("handler", (str(error), 404)))

    def body() -> Iterator[str]:
        yield "first"
        trap("stream")

    @app.get("/stream")
    def stream() -> Any:
        from flask import stream_with_context

        return app.response_class(stream_with_context(body()))

    @app.get("/template")
    def template() -> Any:
        from flask import render_template_string

        return render_template_string("{{ 1 }}")

    return app


def misuses_wsgi(instance_path: str, config: Mapping[str, Any]) -> Any:
    """Answer as no server expects, in the way that the path names."""
    plain = [("Content-Type", "text/plain")]
    answers: dict[str, tuple[Any, Any, Any]] = {
        "none": ("200 OK", plain, None),
        "text": ("200 OK", plain, ["text"]),
        "number": (200, plain, [b""]),
        "split": ("200 OK", [("X-Split", "a\r\nSet-Cookie: b=c")], [b""]),
        "headers": ("200 OK", None, [b""]),
        "close": ("200 OK", plain, Closing()),
    }

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        kind = environ["PATH_INFO"].strip("/")
        if kind == "silent":
            return [b"no start_response"]
        status, headers, body = answers.get(kind, ("200 OK", plain, [b"well"]))
        start_response(status, headers)
        return body

    return application


class Closing:
    """A body that raises when it is closed."""

    def __iter__(self) -> Any:
        return iter([b"well"])

    def close(self) -> None:
        raise Uncaught("in close")
