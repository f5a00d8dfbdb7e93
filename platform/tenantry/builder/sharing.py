"""What the many applications of one factory share, because it is equal in all and costly to make.

Compiled templates, the compiled builders of URL rules, and equal URL maps. Nothing here holds a tenant's data: a Jinja
environment, whose globals and filters are an application's own, is never shared.
"""

import logging
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any

from flask import Flask
from flask.sansio.app import App
from flask.sessions import SecureCookieSessionInterface
from flask.templating import Environment as FlaskEnvironment
from itsdangerous import URLSafeTimedSerializer
from jinja2 import Environment, nodes
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.compiler import CodeGenerator
from werkzeug.routing import Map, Rule, RuleFactory
from werkzeug.utils import cached_property

from tenantry import forks, log

_LIMIT = 10_000
_READING = (
    *(f"{part}_{end}_string" for part in ("block", "variable", "comment") for end in ("start", "end")),
    *("line_statement_prefix", "line_comment_prefix", "trim_blocks", "lstrip_blocks", "newline_sequence"),
    *("keep_trailing_newline", "is_async"),
)

_HARMLESS = frozenset(
    {"extensions", "trim_blocks", "lstrip_blocks", "keep_trailing_newline", "auto_reload", "cache_size"}
)

_FAILED = re.compile(r"(Exception on )(/.*)( \[\w+\])", re.DOTALL)
_flask_logger: Callable[[Flask], logging.Logger] = App.__dict__["logger"].fget


class SharedRule(Rule):
    """A URL rule that compiles its URL builder once a process for every spelling.

    The builder is a pure function of the rule's parts; what it needs of the rule itself it is given at the call.
    """

    _made: dict[Any, Callable[..., tuple[str, str]]] = {}  # noqa: RUF012 - shared on purpose

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults:
            return super()._compile_builder(append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= _LIMIT:
                self._made.clear()
            made = self._made[key] = super()._compile_builder(append_unknown)
        return made


class Compiler(CodeGenerator):
    """Compiles a template to code that depends on its source alone.

    Jinja's own calls filters and tests on constants while it compiles; what they answer may be one tenant's own.
    """

    def _output_child_to_const(self, node: nodes.Expr, frame: Any, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class SharedTemplates(BytecodeCache):
    """Compiled templates kept in memory: one code object for all tenants of an application."""

    def __init__(self) -> None:
        self._codes: dict[Any, CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give the template its code, if it was compiled before from the same source."""
        bucket.code = self._codes.get(_source(bucket))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        if len(self._codes) >= _LIMIT:
            self._codes.clear()
        if bucket.code is not None:
            self._codes[_source(bucket)] = bucket.code


def _source(bucket: Bucket) -> Any:
    """Spell everything that compiled code depends on: the template's source, and how its environment reads it."""
    reads = bucket.environment
    how = [getattr(reads, name) for name in _READING]
    escape = getattr(reads.autoescape, "__func__", reads.autoescape)
    return bucket.key, bucket.checksum, *how, escape, tuple(reads.extensions)


@lru_cache(maxsize=64)
def _sharing(kind: type[Environment]) -> type[Environment]:
    """Derive the class of a Jinja environment whose compiled templates may be shared."""
    return type(kind.__name__, (kind,), {"code_generator_class": Compiler})


class KeptSessions(SecureCookieSessionInterface):
    """Flask's own sessions, with the serializer of one application kept: Flask makes it anew for every request."""

    def __init__(self) -> None:
        self._kept: tuple[Any, URLSafeTimedSerializer | None] | None = None

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Return the serializer for the application's keys, remade if they have changed."""
        keys = (app.secret_key, tuple(app.config["SECRET_KEY_FALLBACKS"] or ()))
        kept = self._kept
        if kept is None or kept[0] != keys:
            kept = self._kept = (keys, super().get_signing_serializer(app))
        return kept[1]


class Settled(Map):
    """A URL map that several tenants' applications share; it takes no more rules."""

    def add(self, rulefactory: RuleFactory) -> None:  # noqa: ARG002
        """Refuse: one tenant's rule would be everybody's."""
        raise RuntimeError("Rules are added in the application's factory, not after it has returned.")


class Shared:
    """What the live applications of one factory have in common; lives as long as the process."""

    def __init__(self) -> None:
        self._templates = SharedTemplates()
        self._maps: dict[Any, Map] = {}
        self.renew()
        forks.renewed(self)

    def renew(self) -> None:
        """Make a lock that no other thread holds: at first, and in a forked child."""
        self._lock = threading.Lock()

    def settle(self, app: Flask) -> None:
        """Let a freshly made application use the common parts; it has not answered a request yet."""
        if type(app.session_interface) is SecureCookieSessionInterface:
            app.session_interface = KeptSessions()
        self._settle_templates(app)
        self._settle_urls(app)

    def _settle_templates(self, app: Flask) -> None:
        """Share compiled templates, unless the application decides in a way of its own how they are compiled."""
        own = type(app).select_jinja_autoescape is not Flask.select_jinja_autoescape
        if own or app.jinja_environment is not FlaskEnvironment or app.jinja_options.keys() - _HARMLESS:
            return
        if "jinja_env" in app.__dict__:
            if app.jinja_env.finalize is not None or app.jinja_env.autoescape != app.select_jinja_autoescape:
                return
            app.jinja_env.optimized = False
            app.jinja_env.code_generator_class = Compiler
            app.jinja_env.bytecode_cache = self._templates
        else:  # made at the first page, if there ever is one
            app.jinja_environment = _sharing(app.jinja_environment)  # type: ignore[assignment]
            app.jinja_options = {**app.jinja_options, "optimized": False, "bytecode_cache": self._templates}

    def _settle_urls(self, app: Flask) -> None:
        key = _spelling(app.url_map)
        if key is None:
            return
        with self._lock:
            if len(self._maps) >= _LIMIT:
                self._maps.clear()
            app.url_map = self._maps.setdefault(key, app.url_map)
            app.url_map.__class__ = Settled
        app.url_map.update()


def _spelling(urls: Map) -> Any:
    """Spell everything a URL map decides by, or None where it holds what cannot be compared."""
    if type(urls) is not Map:
        return None
    rules: list[Any] = []
    for rule in urls.iter_rules():
        if type(rule) is not SharedRule or rule.defaults or rule.redirect_to is not None:
            return None
        methods = frozenset(rule.methods) if rule.methods is not None else None
        where = (rule.rule, rule.subdomain, rule.host, rule.endpoint)
        flags = (rule.strict_slashes, rule.merge_slashes, rule.build_only, rule.alias, rule.websocket)
        rules.append((where, methods, flags, getattr(rule, "provide_automatic_options", None)))
    # A converter that was made inside a factory may hold its application, which must not live as long as the map.
    if any("<locals>" in getattr(converter, "__qualname__", "<locals>") for converter in urls.converters.values()):
        return None
    how = (
        urls.host_matching,
        urls.default_subdomain,
        urls.strict_slashes,
        urls.merge_slashes,
        urls.redirect_defaults,
    )
    return tuple(rules), how, urls.sort_parameters, urls.sort_key, tuple(sorted(urls.converters.items(), key=str))


def install() -> None:
    """Teach Flask, once a process, to make rules that share and loggers that do not.

    Flask names an application's logger by its import name, so that all tenants of one factory would write through one
    logger and each rebuild would add its handlers again.
    """
    if Flask.url_rule_class is Rule:
        Flask.url_rule_class = SharedRule
    if "logger" not in Flask.__dict__:
        Flask.logger = cached_property(_logger, name="logger")  # type: ignore[method-assign]


def _logger(app: Flask) -> logging.Logger:
    """Make the logger of the tenant that is being built: its own, below `tenantry.tenant`, known to nobody else."""
    whose = log.mark.get()
    if whose.listeners is None:
        return _flask_logger(app)
    made = TenantLogger(f"tenantry.tenant.{whose.uid}", whose)
    made.parent = logging.getLogger("tenantry.tenant")
    if app.debug:
        made.setLevel(logging.DEBUG)
    return made


class TenantLogger(log.OwnLogger):
    """An application's own logger, which does not tell the secrets that a path may hold."""

    def error(self, msg: object, *args: object, **more: Any) -> None:
        """Log an error; of a view that failed, Flask says at which path."""
        if type(msg) is str and (found := _FAILED.fullmatch(msg)):
            msg = f"{found[1]}{log.path(found[2])}{found[3]}"
        super().error(msg, *args, **more | {"stacklevel": more.get("stacklevel", 1) + 1})
