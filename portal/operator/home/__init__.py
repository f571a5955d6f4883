"""Home: what needs a person, today, the guide with its trial call, the find box, alarms, background work, timetable."""

from portal.operator.home import alarms, background, finding, start, timetable, trials
from portal.operator.home.words import init_app

__all__ = ["alarms", "background", "finding", "init_app", "start", "timetable", "trials"]
