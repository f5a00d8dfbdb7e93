"""A server on a path: a socket in the file system, such as a proxy on the same machine uses."""

import socket
import stat
import threading
from pathlib import Path

import pytest

from tenantry.errors import Invalid, TenantryError, Unavailable
from tenantry.server.sockets import listen, port_of
from tests.servers import PATIENCE, Environ, Site, Start, serving, text


def say_where(environ: Environ, start: Start) -> list[bytes]:
    return text(start, f"{environ['SERVER_PORT']} {environ['REMOTE_ADDR']}")


def ask(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: acme\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(4096), b""))


def test_a_path_is_served_to_its_owner_and_group(tmp_path: Path) -> None:
    """What the environ tells of the server is a port, as applications expect."""
    path = tmp_path / "socket"
    with serving(say_where, host=f"unix:{path}") as site:
        assert ask(path).endswith(b"\r\n80 localhost")
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert (site.server.host, site.server.port) == (str(path), 0)
        with pytest.raises(Unavailable, match="is already in use"):
            listen(f"unix:{path}", 8000)
        assert ask(path).endswith(b"\r\n80 localhost")


def test_what_a_server_has_left_behind_is_replaced(tmp_path: Path) -> None:
    """However it ended; anything else at that path is left alone."""
    path = tmp_path / "socket"
    for _ in range(2):
        with serving(say_where, host=f"unix:{path}"):
            assert ask(path)
        assert path.is_socket()
    path.unlink()
    path.write_text("mine")
    with pytest.raises(Unavailable, match="is there and is no socket"):
        listen(f"unix:{path}", 0)
    assert path.read_text() == "mine"
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(Unavailable, match="is there and is no socket"):
        listen(f"unix:{link}", 0)


def test_a_server_whose_queue_is_full_is_there_nonetheless(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(path))
        busy.listen(0)
        first.connect(str(path))
        with pytest.raises(Unavailable, match="is already in use"):
            listen(f"unix:{path}", 0)
    assert path.is_socket()


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("socket", Invalid, "unix:socket is not a whole path"),
        ("", Invalid, "is not a whole path"),
        ("{folder}/missing/socket", Unavailable, "missing cannot be used"),
        ("{folder}/" + "long" * 40, Invalid, "AF_UNIX path too long"),
    ],
)
def test_a_path_that_cannot_be_is_told_so(tmp_path: Path, path: str, error: type[TenantryError], says: str) -> None:
    with pytest.raises(error, match=says):
        listen(f"unix:{path.format(folder=tmp_path)}", 0)


def test_of_two_who_start_at_the_same_moment_one_has_the_path(tmp_path: Path) -> None:
    """A socket that is bound and does not listen yet is nobody's leftover."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    found: list[socket.socket | TenantryError] = []
    begin = threading.Barrier(8)

    def start() -> None:
        begin.wait(PATIENCE)
        try:
            found.extend(listen(f"unix:{path}", 0))
        except TenantryError as error:
            found.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    mine = [sock for sock in found if isinstance(sock, socket.socket)]
    assert len(found) == 8
    assert len(mine) == 1
    assert port_of(mine) == 0
    site = Site(say_where, sockets=mine)
    assert ask(path).endswith(b"\r\n80 localhost")
    assert site.end() == 0
