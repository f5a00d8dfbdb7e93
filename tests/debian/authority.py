"""Certbot, and the authority that it asks: certificates for who proves what Let's Encrypt wants proved."""

import argparse
import http.client
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import trustme


class Authority:
    """An authority of one machine; `folder` is that below which the machine's paths lie."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._live = folder / "etc/letsencrypt/live"
        self._archive = folder / "etc/letsencrypt/archive"
        self.path = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(self.path)

    def certbot(self, words: Sequence[str], port: int, environment: Mapping[str, str]) -> tuple[int, str]:
        """Prove, issue, lay down and call the hook, as `certbot certonly` does; `port` is where http is answered."""
        given = _parser().parse_args(words)
        names: list[str] = given.domains
        try:
            if given.webroot:
                for name in names:
                    _prove_by_http(Path(given.webroot_path), name, port)
            else:
                _prove_by_dns(Path(given.credentials))
        except (OSError, ValueError) as error:
            return 1, f"Some challenges have failed: {error}\n"
        lineage = self._issue(names)
        if given.deploy_hook:
            hook = {**environment, "RENEWED_LINEAGE": str(lineage), "RENEWED_DOMAINS": " ".join(names)}
            ran = subprocess.run(
                ["sh", "-c", given.deploy_hook], env=hook, capture_output=True, text=True, check=False, cwd="/"
            )
            if ran.returncode:
                return 1, f"Hook 'deploy-hook' reported error code {ran.returncode}\n{ran.stdout}{ran.stderr}"
        at = f"Certificate is saved at: {lineage}/fullchain.pem\nKey is saved at: {lineage}/privkey.pem\n"
        return 0, f"Requesting a certificate for {' and '.join(names)}\n\nSuccessfully received certificate.\n{at}"

    def _issue(self, names: list[str]) -> Path:
        """Lay a certificate down where certbot does: numbered, open to root alone, and linked to."""
        issued = self._ca.issue_cert(*names)
        for folder in (self._live, self._archive):
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True)
        lineage, archive = self._live / names[0], self._archive / names[0]
        archive.mkdir()
        lineage.mkdir()
        descriptor = os.open(archive / "privkey1.pem", os.O_CREAT | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as key:
            key.write(issued.private_key_pem.bytes())
        (archive / "fullchain1.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        for name in ("privkey", "fullchain"):
            (lineage / f"{name}.pem").symlink_to(f"../../archive/{names[0]}/{name}1.pem")
        return lineage


def _parser() -> argparse.ArgumentParser:
    """Know the options that a page uses, and no others."""
    parser = argparse.ArgumentParser(prog="certbot", allow_abbrev=False, exit_on_error=False)
    parser.add_argument("verb", choices=["certonly"])
    parser.add_argument("--non-interactive", action="store_true", required=True)
    parser.add_argument("--agree-tos", action="store_true", required=True)
    parser.add_argument("--email", required=True)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--dns-cloudflare", action="store_true")
    way.add_argument("--webroot", action="store_true")
    parser.add_argument("--dns-cloudflare-credentials", dest="credentials", default="/nothing")
    parser.add_argument("--webroot-path", default="/nothing")
    parser.add_argument("-d", dest="domains", action="append", required=True)
    parser.add_argument("--deploy-hook")
    return parser


def _prove_by_dns(credentials: Path) -> None:
    """See that there is a token for the provider, which nobody else may read."""
    key, sign, value = credentials.read_text().strip().partition(" = ")
    if key != "dns_cloudflare_api_token" or not sign or not value:
        raise ValueError(f"{credentials} has no token")
    if credentials.stat().st_mode & 0o077:
        raise ValueError(f"Unsafe permissions on credentials configuration file: {credentials}")


def _prove_by_http(root: Path, name: str, port: int) -> None:
    """Lay a token down and ask for it by the name, as the authority would."""
    if "*" in name:
        raise ValueError("a wildcard is proved by DNS alone")
    folder = root / ".well-known/acme-challenge"
    folder.mkdir(parents=True, exist_ok=True)
    token, answer = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    file = folder / token
    file.write_text(answer)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": name})
        answered = connection.getresponse()
        said = answered.read().decode(errors="replace")
    finally:
        connection.close()
        file.unlink()
    if (answered.status, said) != (200, answer):
        raise ValueError(f"{name} answered {answered.status}: {said[:100]!r}")
