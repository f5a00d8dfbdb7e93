"""The whole configuration of a large house: thousands of tenants, a thousand domains, and rows that are poison.

`tenantry edge nginx` is run as an operator runs it, on a registry of that size; what it prints is put to the system's
nginx and to the newest.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from tests import edges, tools
from tests.benchmarks import children, population

DOMAIN = "sites.example.com"
# What a hostile or damaged row may say where a domain should stand.
POISONS = (
    "evil.example; } server { listen 1; return 200 x;",
    "evil.example\n}\nuser root;\nhttp {",
    "${host}",
    "~^(.*)$",
    '"',
    "*",
    "_",
    "é.example",
    f"acme.{DOMAIN}",
    "127.0.0.1",
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_ENDINGS = ("example", "example.com", "example.org", "co.example", "xn--p1ai")
_ROOM = "domain:"


@dataclass
class Tally:
    """Seconds of each run by how domains are known, what nginx said against the text, and what else was wrong."""

    tenants: int
    domains: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def slowest(self) -> float:
        """The median of the slower of both ways."""
        return max(median(some) for some in self.seconds.values())

    def __str__(self) -> str:
        ways = ", ".join(f"{way} {median(some):.2f} s" for way, some in self.seconds.items())
        return f"{ways}; {self.size / 1e6:.1f} MB at most"


def run(folder: Path, tenants: int, domains: int, rounds: int, seed: int = 1) -> Tally:
    """Render a registry of so many tenants and random domains, both ways, so many times each, and have it examined."""
    names = _domains(domains, Random(seed))
    (folder / "instance").mkdir()
    population.fill(folder / "instance" / "registry.sqlite3", tenants)
    _own(folder / "instance" / "registry.sqlite3", [*names, *POISONS], Random(seed))
    pem = edges.Authority(folder / "certificates").issue(DOMAIN)
    tally = Tally(tenants, domains)
    for way in ("live", "listed"):
        _write(folder, way, pem)
        for _ in range(rounds):
            begin = perf_counter()
            text, told = _rendered(folder)
            tally.seconds.setdefault(way, []).append(perf_counter() - begin)
        tally.size = max(tally.size, len(text))
        tally.wrong += _wrong(way, text, told, names)
        for program in (edges.system(), edges.newest()):
            said = edges.complaints(folder / "nginx", text, program)
            tally.complaints += [f"{program.name}, {way}: {said[:300]}"] if said else []
    return tally


def _domains(count: int, chance: Random) -> list[str]:
    found: set[str] = set()
    while len(found) < count:
        labels = ["".join(chance.choices(_LETTERS, k=chance.randint(1, 30))) for _ in range(chance.randint(1, 4))]
        found.add(".".join([*labels, chance.choice(_ENDINGS)]))
    return sorted(found)


def _own(registry: Path, names: Sequence[str], chance: Random) -> None:
    """Give each domain to a tenant, as rows: poison is none that a verb would write."""
    with closing(sqlite3.connect(registry)) as raw:
        uids = [uid for (uid,) in raw.execute("SELECT uid FROM tenants")]
        rows = [(_ROOM + name, chance.choice(uids)) for name in names]
        raw.executemany("INSERT INTO addresses (key, uid, revision) VALUES (?, ?, 1)", rows)
        raw.commit()


def _write(folder: Path, way: str, pem: Path) -> None:
    known = {
        "domain": DOMAIN,
        "scheme": "https",
        "proxies": 1,
        "host": "unix:/run/tenantry/socket",
        "public_port": tools.free_port(),
        "edge_address": "127.0.0.1",
        "edge_http_port": tools.free_port(),
        # One for all: what is examined is the text, and not a thousand keys.
        "edge_certificate": pem / "fullchain.pem",
        "edge_key": pem / "privkey.pem",
        "edge_domains": way,
    }
    (folder / ".env").write_text("".join(f"TENANTRY_{name.upper()}='{value}'\n" for name, value in known.items()))


def _rendered(folder: Path) -> tuple[str, list[str]]:
    command = [sys.executable, "-m", "tenantry", "--root", str(folder), "edge", "nginx"]
    given = {**children.environment({}), "LC_ALL": os.environ.get("LC_ALL", "C.UTF-8")}
    ran = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr.splitlines()


def _wrong(way: str, text: str, told: Sequence[str], names: Sequence[str]) -> list[str]:
    """Tell what is not as it should be: each poison told in a line, each domain in its place, and nothing else."""
    wrong = []
    if len(told) != len(POISONS) or not all("was left out" in line and line.isprintable() for line in told):
        wrong.append(f"{way}: of {len(POISONS)} poison rows this is told: {told}")
    lines = [line.strip() for line in text.splitlines()]
    named = [line.removeprefix("server_name ")[:-1] for line in lines if line.startswith("server_name ")]
    found = {name for line in named if not line.startswith('"') for name in line.split()}
    should = {DOMAIN, f"*.{DOMAIN}", *(names if way == "listed" else ())}
    return wrong + [f"{way}: {name} is on one side only" for name in sorted(found ^ should)[:5]]
