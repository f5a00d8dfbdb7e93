"""Files that a real nginx sends for applications: whole, in part, or not at all where they are somebody else's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tenantry.assembly import probe
from tenantry.assembly.desk import open_operations
from tenantry.operations import NewTenant
from tests import sending
from tests.edges import Answer, Edge, edged

APPLICATION = "tests.sending:create_app"
TEXT = bytes(range(256)) * 1000
ODD = "50% of? a#b&c;d+\xe9 \u65e5 %2e%2e $uri '\"\\.txt"


@dataclass
class House:
    """An edge with two tenants of an application that has files sent; acme has some."""

    edge: Edge
    acme: Path
    globex: Path

    def get(self, path: str = "/file", method: str = "GET", **asked: str) -> Answer:
        """Ask acme; what begins with an underscore is a header."""
        headers = {key[1:].replace("_", "-"): value for key, value in asked.items() if key.startswith("_")}
        query = urlencode({key: value for key, value in asked.items() if not key.startswith("_")})
        return self.edge.get("acme.sites.example.com", f"{path}?{query}", method=method, headers=headers)


def _rendered(root: Path) -> str:
    with open_operations(root) as operations:
        return operations.edge_nginx().text


@pytest.fixture(scope="module", name="house")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("house")
    given: dict[str, Any] = {"edge_files": "on", "application": APPLICATION}

    def filled(_: str) -> str:
        with open_operations(root) as operations:
            for name in ("acme", "globex"):
                operations.add(NewTenant(name=name))
        return _rendered(root)

    with edged(root, change=filled, **given) as edge, edge.desk() as operations:
        files = [operations.path(name) / "files" for name in ("acme", "globex")]
        for folder in files:
            (folder / "a.bin").write_bytes(TEXT)
            (folder / ODD).write_text("odd")
        (files[0] / "link").symlink_to(files[1] / "a.bin")
        (files[0] / "folder").symlink_to(files[1])
        (files[0] / "own").symlink_to("a.bin")
        yield House(edge, files[0], files[1])


# Its own


def test_nginx_sends_a_file_with_what_the_application_says_of_it(house: House) -> None:
    how = json.dumps({"as_attachment": True, "download_name": "b.csv", "max_age": 60})
    answer = house.get(name="a.bin", how=how)
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == "attachment; filename=b.csv"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Set-Cookie"].startswith("seen=yes")
    assert answer["Cache-Control"] == "public, max-age=60"
    assert answer["Strict-Transport-Security"]
    assert not answer["X-Accel-Redirect"]
    assert not answer["X-Sendfile"]
    assert str(house.acme) not in str(answer.headers)


@pytest.mark.parametrize(
    ("wanted", "status", "begin", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=1000-1999", 206, 1000, 2000),
        ("bytes=255990-", 206, 255990, 256000),
        ("bytes=-5", 206, 255995, 256000),
        ("bytes=0-999999", 206, 0, 256000),
    ],
)
def test_a_part_is_a_part(house: House, wanted: str, status: int, begin: int, end: int) -> None:
    answer = house.get(name="a.bin", _Range=wanted)
    assert (answer.status, answer.body) == (status, TEXT[begin:end])
    assert answer["Content-Range"] == f"bytes {begin}-{end - 1}/{len(TEXT)}"
    assert house.get(name="a.bin", _Range="bytes=999999-").status == 416


def test_head_tells_of_the_file_and_sends_none(house: House) -> None:
    answer = house.get(name="a.bin", method="HEAD")
    assert (answer.status, answer["Content-Length"], answer.body) == (200, str(len(TEXT)), b"")


def test_who_has_the_file_is_not_sent_it_again(house: House) -> None:
    first = house.get(name="a.bin")
    again = house.get(name="a.bin", _If_None_Match=first["ETag"])
    assert (again.status, again.body) == (304, b"")
    since = house.get(name="a.bin", _If_Modified_Since=first["Last-Modified"])
    assert (since.status, since.body) == (304, b"")
    assert house.get(name="a.bin", _If_None_Match='"other"').body == TEXT
    part = house.get(name="a.bin", _Range="bytes=0-4", _If_Range=first["ETag"])
    assert (part.status, part.body) == (206, TEXT[:5])
    whole = house.get(name="a.bin", _Range="bytes=0-4", _If_Range='"other"')
    assert (whole.status, whole.body) == (200, TEXT)


def test_a_file_is_sent_whatever_its_name_and_however_it_was_asked_for(house: House) -> None:
    assert house.get(name=ODD).body == b"odd"
    assert house.get(name="own").body == TEXT
    answer = house.get(name="a.bin", method="POST")
    assert (answer.status, answer.body) == (200, TEXT)


def test_what_is_encoded_says_so(house: House) -> None:
    (house.acme / "b.csv.gz").write_bytes(b"\x1f\x8b...")
    answer = house.get(name="b.csv.gz", _Accept_Encoding="gzip")
    assert (answer["Content-Encoding"], answer["Content-Type"]) == ("gzip", "text/csv; charset=utf-8")
    assert answer.body == b"\x1f\x8b..."


@pytest.mark.parametrize(
    ("path", "file"), [("/static/", "static/style.css"), ("/pages/static/static/", "pages/static/page.css")]
)
def test_static_files_are_sent_too_those_of_a_blueprint_as_well(house: House, path: str, file: str) -> None:
    asked = sending.HERE / file
    answer = house.get(f"{path}{asked.name}")
    assert (answer.status, answer.body) == (200, asked.read_bytes())
    assert answer["Content-Type"] == "text/css; charset=utf-8"
    assert answer["ETag"].strip('"').count("-") == 1  # nginx's own: it is nginx that has sent it


def test_the_page_of_probes_has_one_sent(house: House) -> None:
    headers = {"X-Tenantry-Probe": probe.token(house.edge.settings)}
    answer = house.edge.get(house.edge.settings.domain, "/?do=file", headers=headers)
    assert (answer.status, answer.body) == (200, b"nginx sends files.\n")


# Nobody else's


def test_what_is_not_its_own_is_a_page_and_a_line(house: House) -> None:
    names = [f"{house.globex}/a.bin", f"../../{house.globex.parent.name}/files/a.bin", "link", "folder/a.bin", "../key"]
    for name in (*names, str(sending.HERE / "__init__.py"), "/etc/passwd", "/dev/null"):
        answer = house.get(name=name)
        assert (answer.status, b"Something broke" in answer.body) == (500, True), name
        assert str(house.globex) not in answer.body.decode()
    assert house.get("/pages/assets/assets/odd.css").status == 500
    assert house.edge.log.count("Unsendable: ") >= len(names) + 4
    assert "lies neither in the tenant's files/ nor in the application's static/" in house.edge.log


@pytest.mark.parametrize(("by", "status"), [("", 404), ("{globex}/a.bin", 403), ("a.bin", 403), ("/etc/passwd", 403)])
def test_what_becomes_a_link_or_nothing_in_the_meantime_is_not_sent(house: House, by: str, status: int) -> None:
    answer = house.get("/meanwhile", by=by.format(globex=house.globex))
    assert answer.status == status
    assert TEXT[:64] not in answer.body


@pytest.mark.parametrize(
    "value", ["/-/files/{uid}/a.bin", "/-/files/{uid}/../../registry.sqlite3", "@tenantry_page", "/"]
)
def test_no_application_tells_nginx_where_to_go(house: House, value: str) -> None:
    spelled = value.format(uid=house.globex.parent.name)
    answer = house.get("/order", name="X-Accel-Redirect", value=spelled)
    assert (answer.status, answer.body) == (200, b"hello")


def test_no_visitor_goes_where_nginx_alone_may(house: House) -> None:
    uid = house.acme.parent.name
    for path in (f"/-/files/{uid}/a.bin", "/-/files/sample", f"/-/static/{APPLICATION}/static/style.css"):
        for spelled in (path, path.replace("/-/", "/%2d/"), path.replace("/-/", "//-/"), f"/x/..{path}"):
            assert house.edge.get("acme.sites.example.com", spelled).status == 404
