"""An installed file beside the one that would be made now: what differs, at which line, in words."""

from dataclasses import replace
from pathlib import Path

import pytest

from tenantry.edge import compare, nginx
from tenantry.settings import Settings

KNOWN = Settings(
    domain="example.com", scheme="https", proxies=1, host="unix:/run/tenantry/socket", instance=Path("/var/lib/x")
)
LISTED = replace(KNOWN, edge_domains="listed")
TEXT = nginx(KNOWN, []).text


def line_of(text: str, words: str) -> int:
    """Return the number of the first line with these words."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def test_a_file_as_it_is_made_differs_in_nothing() -> None:
    assert compare(TEXT, TEXT) == ()
    assert compare("", "") == ()


def test_comments_blanks_and_indents_are_no_difference() -> None:
    loose = "\r\n\r\n".join(f"\t{line.strip()}   # so" if line.endswith(";") else line for line in TEXT.splitlines())
    assert compare("# of an older version\n" + loose, TEXT) == ()


def test_a_changed_line_is_told_with_its_number_and_what_it_should_be() -> None:
    installed = nginx(replace(KNOWN, max_body=5), []).text
    found = compare(installed, TEXT)
    assert len(found) == 6, "one a server"
    assert found[0] == (
        f"line {line_of(installed, 'client_max_body_size')}: the https server of unknown names: "
        "`client_max_body_size 5;` should be `client_max_body_size 16777216;`"
    )


def test_a_line_too_much_and_one_that_is_missing_are_told() -> None:
    words = "    proxy_set_header X-Forwarded-Prefix"
    without = "\n".join(line for line in TEXT.splitlines() if not line.startswith(words))
    missing = compare(without, TEXT)
    assert len(missing) == 2
    assert missing[0].startswith(f"after line {line_of(without, 'X-Forwarded-Port')}: the https server of example.com ")
    assert missing[0].endswith('`proxy_set_header X-Forwarded-Prefix "";` is missing')
    extra = compare(TEXT, without)
    assert extra[0].startswith(f"line {line_of(TEXT, words)}: ")
    assert extra[0].endswith("should not be there")


def test_a_server_that_is_missing_or_too_much_is_one_difference() -> None:
    one, two = (nginx(LISTED, domains).text for domains in (["a.example.org"], ["a.example.org", "b.example.org"]))
    assert "the https server of b.example.org is missing" in compare(one, two)
    (line,) = [line for line in compare(two, one) if "b.example.org" in line and "https" in line]
    begins = line_of(two, "server_name b.example.org;") - 3
    assert line == f"line {begins}: the https server of b.example.org should not be there"


def test_the_order_of_servers_is_no_difference() -> None:
    blocks = TEXT.split("\n\n")
    assert compare("\n\n".join(reversed(blocks)), TEXT) == ()


def test_what_stands_outside_of_blocks_is_told() -> None:
    assert compare("", "user nobody;\n") == ("`user nobody;` is missing",)
    assert compare("user root;\n", "user nobody;\n") == ("line 1: `user root;` should be `user nobody;`",)
    assert compare("user root;\nworker_processes 1;\n", "") == (
        "line 1: `user root;` should not be there",
        "line 2: `worker_processes 1;` should not be there",
    )


def test_units_are_compared_too() -> None:
    assert compare("[Unit]\nDescription=a\n[Service]\nUser=b\n", "[Unit]\nDescription=a\n[Service]\nUser=c\n") == (
        "line 4: `User=b` should be `User=c`",
    )


@pytest.mark.parametrize(
    "installed",
    [
        "server {",
        "}\n}\n",
        "server {\nserver {\n}\n",
        "\x00\x1b[31m;\n",
        "{\n{\n{",
        "}" * 99,
        "x" * 5000,
        "a {\n" * 500,
    ],
)
def test_whatever_is_installed_is_told_in_printable_lines(installed: str) -> None:
    found = compare(installed, TEXT)
    assert found
    assert all(line.isprintable() and len(line) < 400 for line in found)
