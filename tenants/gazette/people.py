"""Who may come in: joining, signing in, and the link that lets a site's owner in once."""

from hmac import compare_digest

from flask import current_app
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.security import check_password_hash, generate_password_hash

from tenants.gazette.models import Account, db, name_key

OWNER_LINK_LIFE = 24 * 60 * 60
_SALT = "gazette owner link"


class Taken(Exception):
    """Somebody has the name, or owns the site, already."""


class LinkSpent(Exception):
    """The owner link was a true one and its time is over."""


def has_accounts() -> bool:
    """Tell whether anybody has joined yet."""
    return db.session.scalar(select(Account.id).limit(1)) is not None


def by_name(name: str) -> Account | None:
    """Get the account of that name, however it is capitalised."""
    return db.session.scalar(select(Account).where(Account.name_key == name_key(name)))


def by_cookie(spelled: str) -> Account | None:
    """Get the account that `Account.get_id` spelled, unless its password has changed since."""
    number, _, seal = spelled.partition(".")
    account = db.session.get(Account, int(number)) if number.isdecimal() and len(number) < 16 else None
    return account if account and compare_digest(account.seal.encode(), seal.encode()) else None


def authenticate(name: str, password: str) -> Account | None:
    """Get the account that name and password open; a name that nobody has costs as long as a wrong password."""
    account = by_name(name)
    if account is None:
        generate_password_hash(password)
        return None
    return account if check_password_hash(account.password_hash, password) else None


def join(name: str, password: str, *, as_owner: bool) -> Account:
    """Add an account, or raise Taken: the database decides, whoever asked at the same moment."""
    account = Account(name=name, name_key=name_key(name), is_owner=as_owner)
    account.password_hash = generate_password_hash(password)
    db.session.add(account)
    try:
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise Taken from error
    return account


def owner_token() -> str:
    """Sign what an owner link carries: nothing but the time, under this site's own key."""
    return _signer().dumps("owner")


def check_owner_token(token: str) -> bool:
    """Tell whether this site signed `token`; raise LinkSpent if that was too long ago."""
    try:
        return bool(_signer().loads(token, max_age=OWNER_LINK_LIFE) == "owner")
    except SignatureExpired as error:
        raise LinkSpent from error
    except BadSignature:
        return False


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=_SALT)
