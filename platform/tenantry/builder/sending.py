"""Which folders nginx may send files from in a live application's place, and by which addresses it knows them."""

from pathlib import Path
from urllib.parse import quote

from flask import Flask

from tenantry.application import Application
from tenantry.placement import Placement

# Within an application's code nginx knows folders of this name alone.
STATIC = "static"


def folders(flask: Flask | None, application: Application, placement: Placement) -> tuple[tuple[str, Path], ...]:
    """List the tenant's own `files/`, and the static folders of its application and of the blueprints in there."""
    found = [(f"/-/files/{placement.folder.name}/", placement.files)]
    for scaffold in (flask, *flask.blueprints.values()) if flask is not None else ():
        folder = Path(scaffold.static_folder or "")
        if folder.name == STATIC and folder.is_relative_to(application.folder):
            below = quote(str(folder.relative_to(application.folder)))
            found.append((f"/-/static/{quote(application.name)}/{below}/", folder))
    return tuple(dict.fromkeys(found))
