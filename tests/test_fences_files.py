"""What an application says to nginx: nothing but which of its own files is to be sent, and whether to buffer."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tenantry.fences import Border
from tenantry.fences.files import Unsendable
from tenantry.policy import FENCES
from tests.fencing import HTML, OTHER, UID, Guarded, by_host, by_path

MINE = f"/-/files/{UID}/"
ODD = "50% of? a#b&c;d+é ü.txt"


@dataclass
class Place:
    """The files of one tenant, its application's, and those of a neighbour."""

    folder: Path
    guarded: Guarded

    def puts(self, name: str, *more: str) -> str:
        """Put a file somewhere below the folder."""
        file = self.folder.joinpath(name, *more)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        return str(file)

    def sent(self, path: str, *headers: tuple[str, str]) -> dict[str, str]:
        """Tell the headers that leave when the application has this file sent."""
        return dict(self.guarded.leaves(HTML, ("X-Sendfile", path), *headers))

    def address(self, path: str) -> str:
        return self.sent(path)["X-Accel-Redirect"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Acme's place, with a few files."""
    sends = ((MINE, tmp_path / UID / "files"), ("/-/static/hello/static/", tmp_path / "hello" / "static"))
    place = Place(tmp_path, Guarded(Border(uid=UID, mount="", sends=sends)))
    for name in (f"{UID}/files/a.txt", f"{OTHER}/files/a.txt", "hello/static/a.css", "hello/secret.py"):
        place.puts(name)
    return place


# Its own files


def test_a_file_becomes_what_nginx_alone_may_follow(place: Place) -> None:
    assert place.address(f"{place.folder}/{UID}/files/a.txt") == f"{MINE}a.txt"
    assert place.address(f"{place.folder}/hello/static/a.css") == "/-/static/hello/static/a.css"
    assert place.address(place.puts(UID, "files", "deep", "er", "b.bin")) == f"{MINE}deep/er/b.bin"
    assert place.address(f"{place.folder}/{UID}/files/../files//./a.txt") == f"{MINE}a.txt"


def test_the_answer_keeps_what_is_said_of_the_file_and_loses_what_is_of_its_body(place: Place) -> None:
    said = [("ETag", '"a"'), ("Cache-Control", "max-age=60"), ("Content-Encoding", "gzip")]
    body = [("Content-Length", "4711"), ("content-range", "bytes 1-2/3")]
    left = place.sent(f"{place.folder}/{UID}/files/a.txt", *said, *body)
    assert left == dict([HTML, *said, ("X-Accel-Redirect", f"{MINE}a.txt"), ("Content-Length", "0")])


def test_a_name_is_spelled_so_that_nginx_reads_the_same(place: Place) -> None:
    path = place.puts(UID, "files", ODD)
    spelled = f"{MINE}50%25%20of%3F%20a%23b%26c%3Bd%2B%C3%A9%20%C3%BC.txt"
    assert place.address(path) == spelled
    assert place.address(path.encode().decode("latin-1")) == spelled
    assert place.address(place.puts(UID, "files", "%2e%2e", "x")) == f"{MINE}%252e%252e/x"


def test_a_name_that_is_no_utf_8_is_spelled_too(place: Place) -> None:
    name = f"{place.folder}/{UID}/files/".encode() + b"\xff.txt"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    assert place.address(os.fsdecode(name)) == f"{MINE}%FF.txt"
    assert place.address(name.decode("latin-1")) == f"{MINE}%FF.txt"


def test_a_link_among_its_own_files_is_what_it_leads_to(place: Place) -> None:
    """nginx gets no link, and follows none."""
    link = place.folder / UID / "files" / "link.txt"
    link.symlink_to("a.txt")
    assert place.address(str(link)) == f"{MINE}a.txt"


def test_a_folder_that_lies_elsewhere_is_its_own_all_the_same(place: Place) -> None:
    files = place.folder / UID / "files"
    files.rename(place.folder / "elsewhere")
    files.symlink_to(place.folder / "elsewhere")
    assert place.address(str(files / "a.txt")) == f"{MINE}a.txt"
    assert place.address(f"{place.folder}/elsewhere/a.txt") == f"{MINE}a.txt"


# Nobody else's


@pytest.mark.parametrize(
    "path",
    [
        *(f"{OTHER}/files/a.txt", f"{UID}/files/../../{OTHER}/files/a.txt", "hello/secret.py", f"{UID}/key"),
        *("hello/static/../secret.py", f"{UID}/files", f"{UID}/files/", f"{UID}/files/nothing"),
        *(f"{UID}/files/a.txt\0", f"{UID}/filesystem", f"{UID}/files/{'x/' * 3000}", f"{UID}/files/a\nb", ""),
    ],
)
def test_what_is_not_its_own_is_not_sent(place: Place, path: str) -> None:
    place.puts(UID, "key")
    place.puts(UID, "filesystem")
    place.puts(UID, "files", "a\nb")
    with pytest.raises(Unsendable):
        place.sent(f"{place.folder}/{path}")


@pytest.mark.parametrize(
    "path", ["", "a.txt", "files/a.txt", "file:///etc/passwd", "/etc/passwd", "/dev/null", "\ud800"]
)
def test_what_is_no_whole_path_or_anywhere_else_is_not_sent(place: Place, path: str) -> None:
    with pytest.raises(Unsendable):
        place.sent(path)


def test_a_link_that_leads_out_is_not_sent(place: Place) -> None:
    files = place.folder / UID / "files"
    (files / "file").symlink_to(place.folder / OTHER / "files" / "a.txt")
    (files / "folder").symlink_to(place.folder / OTHER / "files")
    (files / "round").symlink_to("round")
    for name in ("file", "folder/a.txt", "round"):
        with pytest.raises(Unsendable):
            place.sent(str(files / name))


def test_a_pipe_is_not_sent(place: Place) -> None:
    pipe = place.folder / UID / "files" / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Unsendable, match="is no file"):
        place.sent(str(pipe))


def test_one_answer_is_one_file(place: Place) -> None:
    path = f"{place.folder}/{UID}/files/a.txt"
    with pytest.raises(Unsendable, match="2 files"):
        place.guarded.leaves(("X-Sendfile", path), ("x-sendfile", path))


@pytest.mark.parametrize("off", [(), tuple(FENCES)])
def test_where_nginx_sends_nothing_an_answer_without_its_file_is_not_passed_on(
    place: Place, off: tuple[str, ...]
) -> None:
    with pytest.raises(Unsendable, match="TENANTRY_EDGE_FILES=on"):
        by_host(*off).leaves(("X-Sendfile", f"{place.folder}/{UID}/files/a.txt"))


# Other orders

ORDERS = [
    *(
        "X-Accel-Redirect",
        "x-accel-redirect",
        "X-ACCEL-Expires",
        "X-Accel-Limit-Rate",
        "X-Accel-Charset",
        "X-Accel-New",
    ),
    *("X-LIGHTTPD-send-file", "X-Sendfile2", "X-LiteSpeed-Location", "X-Reproxy-URL"),
]


@pytest.mark.parametrize("name", ORDERS)
def test_nothing_else_commands_the_front(place: Place, name: str, caplog: pytest.LogCaptureFixture) -> None:
    for guarded in (place.guarded, by_host(*FENCES), by_path()):
        assert guarded.leaves(HTML, (name, f"/-/files/{OTHER}/a.txt")) == [HTML]
    assert f"the header {name.lower()} is dropped" in caplog.text


def test_an_application_sends_no_file_by_two_orders(place: Place) -> None:
    left = place.sent(f"{place.folder}/{UID}/files/a.txt", ("X-Accel-Redirect", f"/-/files/{OTHER}/a.txt"))
    assert left["X-Accel-Redirect"] == f"{MINE}a.txt"


@pytest.mark.parametrize("value", ["yes", "no", " No "])
def test_whether_to_buffer_is_an_applications_to_say(value: str) -> None:
    assert by_host().leaves(("X-Accel-Buffering", value)) == [("X-Accel-Buffering", value)]
    assert by_host().leaves(("X-Accel-Buffering", f"{value}; x")) == []
