"""One event is one line: how a log line looks, and which tenant and request it belongs to."""

import logging
import logging.config
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pythonjsonlogger.json import JsonFormatter


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose line it is."""

    tenant: str = ""
    uid: str = ""


# Set in the fresh Context of each request, so that neither outlives it.
mark: ContextVar[Mark] = ContextVar("mark", default=Mark())  # noqa: B039 - a frozen value
request: ContextVar[str] = ContextVar("request", default="")

# Everything but a tab that may end a line, move a cursor or turn the writing round.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9}
_CONTROLS |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_CONTROLS |= {10: "\\n", 13: "\\r"}


def configure(form: str, level: str) -> None:
    """Send every log line to standard error as `text` or `json`; `auto` is text on a terminal and JSON elsewhere."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"marks": {"()": Marks}},
            "formatters": {
                "text": {
                    "()": Text,
                    "format": "%(asctime)s %(levelname)-7s %(where)s%(message)s",
                    "datefmt": "%H:%M:%S",
                },
                "json": {
                    "()": Json,
                    "datefmt": "%Y-%m-%dT%H:%M:%SZ",
                    "fmt": "%(asctime)s %(levelname)s %(name)s %(tenant)s %(uid)s %(request_id)s %(message)s",
                    "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
                },
            },
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "text" if text else "json",
                    "filters": ["marks"],
                }
            },
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {"waitress.queue": {"level": "ERROR"}, "alembic": {"level": "WARNING"}},
        }
    )


class Marks(logging.Filter):
    """Add tenant, uid and request id to every record, from the context or from its `extra`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mark one record; never drop it."""
        here = mark.get()
        for name, value in (("tenant", here.tenant), ("uid", here.uid), ("request_id", request.get())):
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class Json(JsonFormatter):
    """A line for a program: one JSON object, its time in UTC as the journal's."""

    converter = staticmethod(time.gmtime)


class Text(logging.Formatter):
    """A line for a person: time, level, tenant and request where there are any; control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record: one line, and a traceback in lines that are indented, so that none can be forged."""
        fields: Any = record
        where = "/".join(part for part in (getattr(fields, "tenant", ""), getattr(fields, "request_id", "")) if part)
        message = record.getMessage().translate(_CONTROLS)
        quiet = {"msg": message, "args": (), "where": f"[{where.translate(_CONTROLS)}] " if where else ""}
        lines = super().format(logging.makeLogRecord({**record.__dict__, **quiet})).split("\n")
        return "\n    ".join(line.translate(_CONTROLS) for line in lines)
