"""Units for systemd: a service that says when it answers, and a socket that stays while it is started anew.

One serving process has `tenantry.service` and `tenantry.socket`. Several have templates of both, `tenantry@.service`
and `tenantry@.socket`, of which each process is one instance: numbered from 1, or by its port.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from math import ceil
from pathlib import Path

from tenantry.address import shown
from tenantry.errors import Invalid
from tenantry.settings import Settings

# Nothing that systemd gives a meaning: no quote, backslash, `%` or `$`, no `:` between paths, no `;`. What has a blank
# stands in quotes where there may be several words.
_PATH = re.compile(r"/[\w.,+@=/ -]*(?<! )")
_WORD = re.compile(r"[\w.,+@=/-]+")
# By name, or by number where it has none.
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}|[0-9]{1,10}", re.ASCII)

_UNIX = "unix:"
_STATE = Path("/var/lib")
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_SCRATCH = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - named, not used
# Files for whoever did not think of a limit; more where the settings ask for more.
_FILES = 65536
# Seconds from the end of a drain to that of the process: threads of applications have five, the log's lines two.
_LAST_WORDS = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service works: the folder with `.env`, its user, and the words that are `tenantry` there.

    `group` is that of the web server, which may connect to the socket.
    """

    root: Path
    user: str
    program: tuple[str, ...]
    group: str = "www-data"


def systemd(known: Settings, place: Place) -> dict[str, str]:
    """Render the units, each by the name of its file.

    Raises Invalid where a path, a user or an address is none that can stand in a unit.
    """
    name = "tenantry" if known.edge_processes == 1 else "tenantry@"
    socket = "tenantry.socket" if known.edge_processes == 1 else "tenantry@%i.socket"
    return {f"{name}.service": _service(known, place, socket), f"{name}.socket": _socket(known, place)}


def _service(known: Settings, place: Place, socket: str) -> str:
    root, instance = _path(place.root), _path(known.instance)
    program = _quoted(_path(Path(place.program[0])))
    command = [program, *map(_word, place.program[1:]), "--root", _quoted(root), "serve", "--no-demo"]
    paths = (place.root, known.instance, Path(place.program[0]))
    return _SERVICE.format(
        title=known.domain,
        socket=socket,
        user=_user(place.user),
        root=root,
        command=" ".join(command),
        stop=ceil(known.drain) + _LAST_WORDS,
        files=_files(known),
        room=_room(known.instance, instance),
        homes="read-only" if _below(_HOMES, paths) else "yes",
        scratch="no" if _below(_SCRATCH, paths) else "yes",
    )


def _socket(known: Settings, place: Place) -> str:
    """Render the socket; who may connect to it is decided by its file, where it has one."""
    several = known.edge_processes > 1
    if not known.host.startswith(_UNIX):
        lines = [f"ListenStream={address}" for address in _addresses(known)]
    else:
        path = Path(_path(Path(known.host.removeprefix(_UNIX))))
        path = path.with_name("%i.socket") if several else path
        lines = [f"ListenStream={path}", f"SocketUser={_user(place.user)}", f"SocketGroup={_user(place.group)}"]
        lines.append("SocketMode=0660")
    return _SOCKET.format(title=known.domain, number=", %i" * several, lines="\n".join(lines))


def _addresses(known: Settings) -> list[str]:
    """Spell an address and its port, which of several processes is the name of the instance."""
    hosts = ["127.0.0.1", "::1"] if known.host == "localhost" else [known.host.removeprefix("[").removesuffix("]")]
    if not known.port:
        raise Invalid("A socket unit cannot pick a port.", hint="Set TENANTRY_PORT, or TENANTRY_HOST=unix:/path.")
    port = "%i" if known.edge_processes > 1 else str(known.port)
    try:
        found = [ip_address(host) for host in hosts]
        if any("%" in host for host in hosts):
            raise ValueError("a zone")
    except ValueError as error:
        raise Invalid(
            f"TENANTRY_HOST={shown(known.host)} cannot stand in a socket unit.",
            hint="Give an address such as 127.0.0.1, or unix:/run/tenantry/socket.",
        ) from error
    return [f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}" for address in found]


def _room(instance: Path, spelled: str) -> str:
    """Name the one place that may be written; below /var/lib systemd makes it and gives it to the user."""
    if instance != _STATE and instance.is_relative_to(_STATE):
        return f"StateDirectory={_quoted(str(instance.relative_to(_STATE)))}\nStateDirectoryMode=0700"
    return f"ReadWritePaths={_quoted(spelled)}"


def _files(known: Settings) -> int:
    """Count open files as `rations` does, generously."""
    return max(_FILES, 2 * known.connections + 4 * known.capacity + 16 * known.threads)


def _below(folders: tuple[Path, ...], paths: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


# Values


def _path(path: Path) -> str:
    spelled = str(path)
    if not _PATH.fullmatch(spelled) or ".." in path.parts:
        raise Invalid(
            f"The path {shown(spelled)} cannot stand in a unit.",
            hint="Use a whole path of letters, digits, blanks and . , + - = @ _ alone.",
        )
    return spelled


def _quoted(spelled: str) -> str:
    return f'"{spelled}"' if " " in spelled else spelled


def _word(word: str) -> str:
    if not _WORD.fullmatch(word):
        raise Invalid(f"{shown(word)} cannot stand in the command of a unit.", hint="Give the command by its path.")
    return word


def _user(name: str) -> str:
    if not _USER.fullmatch(name):
        raise Invalid(f"{shown(name)} is not the name of a user or group.", hint="Use letters, digits, - and _.")
    return name


_SERVICE = """\
# Made by `tenantry edge systemd`: change settings and make it again, or say what differs by `systemctl edit`.
[Unit]
Description=Tenantry at {title}
Requires={socket}
After=network.target {socket}
# Try again for as long as it takes: meanwhile visitors wait at the socket, which would be closed to them.
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
WorkingDirectory={root}
ExecStart={command}
# A new process takes over the socket and nobody is refused; if it fails, the old one goes on. The sleep gives it time
# to say that it has begun: from then on systemd waits until it is done.
ExecReload=/bin/kill -HUP $MAINPID
ExecReload=-/bin/sleep 1
Restart=on-failure
RestartSec=1
# First the process that serves is told, and finishes what it has begun; then whatever it has started. systemd by itself
# does not wait for one that has taken over: with a mode that is "mixed" it would be killed at once.
ExecStop=/bin/sh -c 'exec 2>/dev/null; kill "$MAINPID"; while kill -0 "$MAINPID"; do sleep 0.1; done'
KillMode=control-group
TimeoutStopSec={stop}
LimitNOFILE={files}
UMask=0077

# The only place that it may write, beside scratch folders of its own. To systemd "strict" is not /run, and /dev/shm is
# everybody's.
{room}
ProtectSystem=strict
ReadOnlyPaths=/run
TemporaryFileSystem=/dev/shm:mode=1777,nosuid,nodev,noexec
ProtectHome={homes}
PrivateTmp={scratch}
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
RemoveIPC=yes

# Nothing that a web application has a use for. One that compiles code while it runs needs MemoryDenyWriteExecute=no.
CapabilityBoundingSet=
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

_SOCKET = """\
# Made by `tenantry edge systemd`: change settings and make it again, or say what differs by `systemctl edit`.
[Unit]
Description=Where nginx reaches Tenantry at {title}{number}

[Socket]
{lines}

[Install]
WantedBy=sockets.target
"""
