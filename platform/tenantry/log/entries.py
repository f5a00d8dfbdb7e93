"""A log record as it was when it was logged: whoever changes its arguments later changes no line."""

import json
import logging
import traceback
from typing import Any, NamedTuple

from tenantry.log.marks import client, mark, request
from tenantry.log.spelling import cut, spelled

ACCESS = "tenantry.access"
MESSAGE, TRACEBACK, EXTRAS = 8 << 10, 32 << 10, 8 << 10
_EXTRA = 1 << 10
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MARKS = ("tenant", "uid", "request_id", "client")
# What a line of JSON says by itself; an `extra` of that name is told apart by another one.
RESERVED = frozenset({"at", "level", "logger", "message", "exc_info", "stack_info", *_MARKS})


class Entry(NamedTuple):
    """One event; `extras` are the fields of its own as the inside of a JSON object, `trace` is its traceback."""

    at: float
    level: str
    logger: str
    tenant: str
    uid: str
    request_id: str
    client: str
    message: str
    extras: str = ""
    trace: str = ""
    stack: str = ""

    @property
    def size(self) -> int:
        """Tell about how many bytes it holds."""
        return 512 + len(self.message) + len(self.extras) + len(self.trace) + len(self.stack)


def entry(record: logging.LogRecord) -> Entry:
    """Freeze a record on the thread that logs it.

    In the name of a tenant whose it is is what the platform says, never what the caller does in its `extra`; elsewhere
    only the platform's own loggers may say so.
    """
    here = mark.get()
    said = {key: value for key, value in vars(record).items() if key not in _OWN} if _has_more(record) else {}
    tenant, uid, number, address = here.tenant, here.uid, "", ""
    name = spelled(record.name)
    if said and not here.uid and _is_ours(name):
        tenant, uid, number, address = (spelled(said.pop(key, "")) for key in _MARKS)
    return Entry(
        record.created,
        spelled(record.levelname),
        # The access log's lines are made elsewhere; a record of that name is somebody's imitation.
        name if name != ACCESS else f"{ACCESS}.other",
        tenant,
        uid,
        number or request.get(),
        address or client.get(),
        cut(_message(record), MESSAGE),
        _extras(said) if said else "",
        "" if not record.exc_info and not record.exc_text else _trace(record),
        cut(spelled(record.stack_info), TRACEBACK) if record.stack_info else "",
    )


def event(logger: str, level: int, message: str, extras: dict[str, Any] | None = None) -> Entry:
    """Make an entry of the platform's own without a record."""
    here = mark.get()
    made = logging.makeLogRecord({})
    return Entry(
        made.created,
        logging.getLevelName(level),
        logger,
        here.tenant,
        here.uid,
        request.get(),
        client.get(),
        cut(message, MESSAGE),
        _extras(extras) if extras else "",
    )


def _is_ours(name: str) -> bool:
    return name == "tenantry" or (name.startswith("tenantry.") and not name.startswith("tenantry.tenant."))


def _has_more(record: logging.LogRecord) -> bool:
    return not vars(record).keys() <= _OWN


def _message(record: logging.LogRecord) -> str:
    try:
        return str.__str__(record.getMessage())
    except Exception as error:  # noqa: BLE001 - arguments that do not fit, or that cannot be spelled
        return f"{spelled(record.msg)} (its arguments cannot be put in: {type(error).__name__}: {spelled(error)})"


def _trace(record: logging.LogRecord) -> str:
    found = record.exc_info
    if not found or found[1] is None:
        return cut(spelled(record.exc_text), TRACEBACK) if record.exc_text else ""
    try:
        text = "".join(traceback.format_exception(*found)).rstrip("\n")
    except Exception as error:  # noqa: BLE001 - somebody else's exception, which may break anything
        return f"{type(found[1]).__name__} (its traceback cannot be spelled: {type(error).__name__})"
    # Its end says what has happened, and its beginning where that began.
    return text if len(text) <= TRACEBACK else f"{text[: TRACEBACK // 4]}\n...\n{text[-TRACEBACK * 3 // 4 :]}"


def _extras(said: dict[str, Any]) -> str:
    fields = {f"extra_{key}" if key in RESERVED else str(key): value for key, value in said.items()}
    try:
        text = json.dumps(fields, default=spelled, allow_nan=False)
    except Exception:  # noqa: BLE001 - values that hold themselves, change meanwhile, or are no numbers
        text = ""
    if text and len(text) <= EXTRAS:
        return text[1:-1]
    some = list(fields.items())[: EXTRAS // _EXTRA // 2]
    return json.dumps({cut(key, 100): cut(spelled(value), _EXTRA) for key, value in some})[1:-1]
