"""The WSGI entry for a server of one's own choice: `wsgi:app`. (`cardtone serve` brings gunicorn along.)"""

import atexit
from dataclasses import replace

from engine import embedded
from engine.config import Config
from portal import create_app

config = Config.from_env()
if not config.database_url:
    attachment = embedded.attach(config)
    atexit.register(attachment.detach)
    config = replace(config, database_url=attachment.url)

app = create_app(config)
