"""What happens without anybody asking: background work and the timetable. Imports the engine, never the portal.

__main__.py   `python -m jobs`: the process that the supervisor keeps running; there may be several
runner.py     the life of that process: it leads or follows, works, and stops within seconds when told to
worker.py     takes rows of `engine.work` and does them; also for a command that does its own work
timetable.py  keeps `engine.timetable` in the one process that leads: who does which turn, and how it ended
tasks.py      how each job of the timetable is done, and what it sets off an alarm for
handlers.py   who does work of which kind
logs.py       one line for each event, never a secret
"""
