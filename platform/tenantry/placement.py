"""A tenant's folder: the paths below `instance/tenants/<uid>/` and the lock that live applications hold on it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tenantry.errors import Unavailable
from tenantry.locks import take

__all__ = ["Hold", "Instance", "Placement", "beside", "naming", "sync"]


@dataclass(frozen=True, slots=True)
class Placement:
    """The folder of one tenant. It names files and never reads them."""

    folder: Path

    @property
    def config(self) -> Path:
        """The tenant's config, TOML, edited by the operator."""
        return self.folder / "config.toml"

    @property
    def secrets(self) -> Path:
        """The tenant's secrets, `KEY=value` lines, never shown."""
        return self.folder / ".env"

    @property
    def key(self) -> Path:
        """The random bytes from which the tenant's SECRET_KEY is derived."""
        return self.folder / "key"

    @property
    def files(self) -> Path:
        """The application's instance folder: the only place it may write."""
        return self.folder / "files"

    @property
    def database(self) -> Path:
        """The tenant's SQLite file."""
        return self.folder / "database.sqlite3"

    @property
    def lock(self) -> Path:
        """The lock file: held shared by every live application, exclusively by who moves or replaces data."""
        return self.folder / "lock"

    def exists(self) -> bool:
        """Tell whether the folder is there and complete enough to build from."""
        return self.key.is_file() and self.files.is_dir()

    def hold(self) -> "Hold":
        """Take the lock shared, for the whole life of a live application; raise Unavailable if its data is moving.

        It waits a second for whoever only looks whether the placement is in use.
        """
        return Hold.take(self, fcntl.LOCK_SH, 1.0)

    @contextmanager
    def alone(self, seconds: float = 30.0) -> Iterator[None]:
        """Hold the lock exclusively, waiting at most `seconds` for live applications to end, or raise Unavailable."""
        held = Hold.take(self, fcntl.LOCK_EX, seconds)
        try:
            yield
        finally:
            held.close()

    def in_use(self) -> bool:
        """Tell whether some process has a live application on this placement right now."""
        try:
            Hold.take(self, fcntl.LOCK_EX).close()
        except Unavailable:
            return True
        return False


class Hold:
    """One held lock on a placement. Closing is idempotent and may happen on any thread."""

    __slots__ = ("_descriptors",)

    def __init__(self, descriptor: int) -> None:
        self._descriptors = [descriptor]

    @classmethod
    def take(cls, placement: Placement, how: int, seconds: float = 0.0) -> "Hold":
        """Take the lock shared or exclusively (`fcntl.LOCK_*`), waiting at most `seconds`, or raise Unavailable."""
        try:
            descriptor = take(placement.lock, os.O_RDWR | os.O_CREAT, how, seconds)
        except OSError as error:
            raise Unavailable(
                f"The placement {placement.folder} cannot be locked: {error.strerror}.",
                hint="See tenantry doctor.",
            ) from error
        if descriptor is None:
            raise Unavailable(
                f"The placement {placement.folder} is in use.",
                hint="Try again when its requests have ended.",
            )
        return cls(descriptor)

    def close(self) -> None:
        """Let go of the lock."""
        with suppress(IndexError):
            os.close(self._descriptors.pop())


@dataclass(frozen=True, slots=True)
class Instance:
    """The instance folder: everything the platform keeps, below one path."""

    root: Path

    @property
    def registry(self) -> Path:
        """The registry's SQLite file."""
        return self.root / "registry.sqlite3"

    @property
    def serving(self) -> Path:
        """The file that says on which port the folder is being served."""
        return self.root / "serving"

    @property
    def probe(self) -> Path:
        """The secret by which an operator's own requests are known to the serving processes."""
        return self.root / "probe"

    @property
    def sample(self) -> Path:
        """A file among the placements that anybody may read, to see whether nginx can send what lies there."""
        return self.tenants / "sample"

    @property
    def staging(self) -> Path:
        """Folders of tenants that are being added, each renamed into place when whole."""
        return self.root / "staging"

    @property
    def tenants(self) -> Path:
        """The placements, one folder a uid."""
        return self.root / "tenants"

    @property
    def trash(self) -> Path:
        """The placements of removed tenants, until purged."""
        return self.root / "trash"

    @property
    def templates(self) -> Path:
        """Migrated, empty databases from which new ones are copied."""
        return self.root / "templates"

    def prepare(self) -> None:
        """Make the folders that are missing, readable by their owner alone; Unavailable if one cannot be made."""
        for folder in (self.root, self.staging, self.tenants, self.trash, self.templates):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise Unavailable(
                    f"The folder {folder} cannot be made: {error.strerror}.",
                    hint=f"See that you may write in {folder.parent} and that there is room on its disk.",
                ) from error

    def placement(self, uid: str) -> Placement:
        """Name a tenant's placement."""
        return Placement(self.tenants / uid)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the operating system name the file that it is about, where only a descriptor was given."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def beside(database: Path) -> list[Path]:
    """Name the files that SQLite may keep beside a database."""
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")]


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk; an OSError names it.

    Never a database that this process has open: closing any descriptor of it would drop SQLite's own locks.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with naming(path):
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
