"""The portal: web pages for people and the switch's HTTP API. It imports the engine and is imported by nothing in it.

installation.py   the database, the keys, the request's instant and zone
respond.py        a page or one of its blocks; the only reader of HX headers
security.py       headers, cookies, the guard of writes
sessions.py       who is logged in
errors.py         error pages
requestlog.py     one log line a request, without secrets
formats.py        how money, times and serials look
papers.py         lists as files: CSV and PDF
statements.py     statements of resellers
assets.py         static files that browsers may keep
speech.py         in whose words an error is told
operator/         the console
reseller/         the reseller's desk
cardholder/       the cardholder's pages
brand.py          what these wear: name, colours, logo
shades.py         from one colour to those that can be read
icons.py          its icons
checkout.py       payments by Stripe
switch_api/       what switches call
"""

from __future__ import annotations

from flask import Flask
from flask_login import current_user
from jinja2 import StrictUndefined

from engine.config import Config
from engine.db import Database
from engine.vault import Vault
from portal import (
    assets,
    brand,
    cardholder,
    checkout,
    errors,
    formats,
    installation,
    notices,
    operator,
    requestlog,
    reseller,
    security,
    sessions,
    switch_api,
    theme,
)
from portal.installation import Installation


def create_app(config: Config | None = None) -> Flask:
    """The web application of one installation; its settings come from the environment unless `config` is given.

    The database must be migrated; it is first asked when the first page is. Raises `InstallationError` where the
    settings or keys don't allow a start.
    """
    config = config or Config.from_env()
    keys = config.load_keys()
    app = Flask(__name__)
    app.request_class = security.Request
    app.secret_key = keys.secret_key
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    requestlog.configure(config.log_level)
    installation.init_app(app, Installation(config, Database(config.database_url), Vault(keys)))
    requestlog.init_app(app)
    security.init_app(app, secure=config.production)
    sessions.init_app(app)
    assets.init_app(app)
    formats.init_app(app)
    errors.init_app(app)
    theme.init_app(app)
    brand.init_app(app)
    cardholder.init_app(app)
    checkout.init_app(app)
    operator.init_app(app)
    reseller.init_app(app)
    switch_api.init_app(app)
    app.jinja_env.globals.update(current_user=current_user, told_notices=notices.notices)
    app.jinja_env.globals["ui"] = app.jinja_env.get_template("ui.html").module
    app.jinja_env.globals["own"] = app.jinja_env.get_template("cardholder/kit.html").module

    return app
