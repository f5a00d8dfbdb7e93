"""The machine's nginx: Debian's files, and a real nginx that reads them from below the machine's folder."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests import tools
from tests.debian.places import inside, outside
from tests.servers import until

# As Debian 12 has them, comments left out.
_CONF = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;

events {
	worker_connections 768;
}

http {
	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;

	include /etc/nginx/mime.types;
	default_type application/octet-stream;

	ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; # Dropping SSLv3, ref: POODLE
	ssl_prefer_server_ciphers on;

	access_log /var/log/nginx/access.log;

	gzip on;

	include /etc/nginx/conf.d/*.conf;
	include /etc/nginx/sites-enabled/*;
}
"""
_SITE = """\
server {
	listen 80 default_server;
	listen [::]:80 default_server;
	root /var/www/html;
	index index.html index.htm index.nginx-debian.html;
	server_name _;
	location / {
		try_files $uri $uri/ =404;
	}
}
"""
_MIME = "types {\n    text/html html htm;\n    text/css css;\n    application/javascript js;\n}\n"
_FOLDERS = ("etc/nginx/conf.d", "etc/nginx/modules-enabled", "etc/nginx/sites-enabled", "var/www/html", "var/log/nginx")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_LISTEN = re.compile(r"^(\s*listen\s+)(\[::\]:)?(\d+)\b", re.MULTILINE)


class Web:
    """An nginx that is installed, and runs from `start` to `close`; its ports lead to those of `ports`."""

    def __init__(self, folder: Path, ports: Mapping[int, int]) -> None:
        self._folder = folder
        self._ports = ports
        self._child: subprocess.Popen[bytes] | None = None
        self._log = folder / "var/log/nginx/error.log"
        # What is read is a copy in which paths and ports are this machine's.
        self._copy = folder / "nginx"
        self._pid = self._copy / "nginx.pid"
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in (("nginx.conf", _CONF), ("mime.types", _MIME), ("sites-enabled/default", _SITE)):
            (folder / "etc/nginx" / name).write_text(text)

    def start(self) -> None:
        """Start it, as its package does, and wait until it listens."""
        command = [*self._command(), "-g", "daemon off;"]
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(lambda: self._over() or (self._pid.exists() and bool(self._pid.read_text())))
        assert not self._over(), self._log.read_text()

    def test(self) -> tuple[int, str]:
        """Say what `nginx -t` says."""
        ran = subprocess.run([*self._command(), "-t"], capture_output=True, text=True, check=False)
        said = outside(self._folder, ran.stderr.replace(f"{self._copy}/nginx.conf", "/etc/nginx/nginx.conf"))
        return ran.returncode, said

    def reload(self) -> tuple[int, str]:
        """Have it read its files again, if they are good, as its unit does."""
        code, said = self.test()
        if code:
            return code, said
        assert self._child is not None
        before = len(self._log.read_text())
        self._child.send_signal(signal.SIGHUP)
        until(lambda: "gracefully shutting down" in self._log.read_text()[before:])
        return 0, ""

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait(10)
            self._child = None

    def _over(self) -> bool:
        return self._child is None or self._child.poll() is not None

    def _command(self) -> list[str]:
        """Copy the files and spell the command that reads the copy."""
        shutil.copytree(self._folder / "etc/nginx", self._copy, dirs_exist_ok=True)
        for gone in [*self._copy.rglob("*.conf"), *(self._copy / "sites-enabled").iterdir()]:
            if not (self._folder / "etc/nginx" / gone.relative_to(self._copy)).exists():
                gone.unlink()
            else:
                gone.write_text(self._here(gone.read_text()))
        kept = "".join(f"\n    {name}_temp_path {self._copy}/{name};" for name in _TEMPORARY)
        conf = self._copy / "nginx.conf"
        # Workers of another user could not read what only a test's own user may.
        user = "user root;" if os.getuid() == 0 else ""
        text = re.sub(r"^user .*;$", user, conf.read_text(), count=1, flags=re.MULTILINE)
        text = re.sub(r"^pid .*;$", f"pid {self._pid};", text, count=1, flags=re.MULTILINE)
        text = re.sub(r"^(error_log .*);$", r"\1 notice;", text, count=1, flags=re.MULTILINE)
        conf.write_text(text.replace("worker_processes auto", "worker_processes 1").replace("http {", f"http {{{kept}"))
        return [str(tools.NGINX.path()), "-e", str(self._log), "-p", str(self._copy), "-c", str(conf)]

    def _here(self, text: str) -> str:
        """Lead paths and ports to where they are; there is one address, of the older kind."""
        lines = [line for line in text.split("\n") if not re.match(r"\s*listen\s+\[::\]", line)]
        text = _LISTEN.sub(lambda at: f"{at[1]}127.0.0.1:{self._ports.get(int(at[3]), int(at[3]))}", "\n".join(lines))
        return inside(self._folder, text).replace(f"{self._folder}/etc/nginx", str(self._copy))
