"""A kept session serializer is its application's own, and no older than its keys."""

import pytest
from flask import Flask
from itsdangerous import BadSignature

from tenantry.builder.sharing import Shared, install

install()


def test_a_kept_serializer_follows_the_keys() -> None:
    """What one key has signed another does not open, also after the key of a settled application was changed."""
    apps = [Flask("one"), Flask("two")]
    shared = Shared()
    for app in apps:
        shared.settle(app)
        app.secret_key = app.name
    interface = [app.session_interface.get_signing_serializer(app) for app in apps]  # type: ignore[attr-defined]
    assert interface[0] is apps[0].session_interface.get_signing_serializer(apps[0])  # type: ignore[attr-defined]
    signed = interface[0].dumps({"name": "ada"})
    assert interface[0].loads(signed) == {"name": "ada"}
    with pytest.raises(BadSignature):
        interface[1].loads(signed)
    apps[0].secret_key = "another"
    with pytest.raises(BadSignature):
        apps[0].session_interface.get_signing_serializer(apps[0]).loads(signed)  # type: ignore[attr-defined]
