"""The `cardtone` command: thin, a file per group. The one place that may import every part of Cardtone.

app.py          the root command, what every command is given, how errors are said
up.py           `cardtone up`: everything on one machine
serve.py        `cardtone serve`: the web server alone
web.py          what those two share
db.py           `cardtone db`: migrations
supervisor.py   keeps child processes running
and a file for each further group, listed in `app.COMMANDS`.
"""

from cli.app import main

__all__ = ["main"]
