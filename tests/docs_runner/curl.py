"""Stand in for curl, which a machine with only Python has not: `curl [-i] [-H HEADER]... URL` and nothing else.

Every host is this machine, whatever its name, and PAGE_PORTS says on which port what the page calls 8000 listens.
Certificates are checked against the authority in the file PAGE_AUTHORITY.
"""

import argparse
import http.client
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit


def main() -> int:
    """Ask once and print the answer."""
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    parser.add_argument("-i", action="store_true", dest="head")
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("url")
    given = parser.parse_args()
    url = urlsplit(given.url)
    ports = dict(pair.split("=") for pair in os.environ["PAGE_PORTS"].split())
    headers = {"Host": url.netloc, "Accept": "*/*", "User-Agent": "curl"}
    headers |= {name: value.strip() for name, _, value in (header.partition(":") for header in given.headers)}
    port = int(ports[str(url.port or (443 if url.scheme == "https" else 80))])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    if url.scheme == "https":
        trust = ssl.create_default_context(cafile=os.environ["PAGE_AUTHORITY"])
        line = socket.create_connection(("127.0.0.1", port), timeout=30)
        connection.sock = trust.wrap_socket(line, server_hostname=url.hostname)
    connection.request("GET", (url.path or "/") + (f"?{url.query}" if url.query else ""), headers=headers)
    answer = connection.getresponse()
    if given.head:
        sys.stdout.write(f"HTTP/1.1 {answer.status} {answer.reason}\n")
        sys.stdout.writelines(f"{name}: {value}\n" for name, value in answer.getheaders())
        sys.stdout.write("\n")
    sys.stdout.write(answer.read().decode(errors="replace"))
    connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
