"""The lines of configuration as they should be: what is wrong is told by the line that makes it right."""

import re

_BLANK = re.compile(r'proxy_set_header +(?P<name>[A-Za-z-]+) +"" *;')
# What is a matter between nginx and the server alone, and of no client.
_OWN = {"Connection", "Content-Length"}
# Where nginx asks the server something on its own account.
_ASKING = re.compile(r"^ *location = /-/tls-ask \{\n *internal;\n(?:[^}]*\n)*? *\}\n", re.MULTILINE)


class Lines:
    """The text that `tenantry edge nginx` prints, to be quoted from."""

    def __init__(self, text: str) -> None:
        lines = (" ".join(line.split()) for line in _ASKING.sub("", text).splitlines())
        self._lines = [line for line in lines if line and not line.startswith("#")]

    def all(self, start: str) -> list[str]:
        """Return every different line that begins so; of a block that is its first line."""
        return list(dict.fromkeys(line for line in self._lines if line.startswith(start)))

    def line(self, start: str) -> str:
        """Return the first line that begins so; only how it begins where there is none."""
        return next(iter(self.all(start)), f"{start} ...")

    def blanked(self) -> list[str]:
        """Name the headers of clients that are not passed on."""
        found = (_BLANK.match(line) for line in self._lines)
        return [one["name"] for one in found if one is not None and one["name"] not in _OWN]


def nginx(*lines: str) -> str:
    """Say that these are to stand in nginx's configuration."""
    return "nginx: " + " ".join(dict.fromkeys(lines))
