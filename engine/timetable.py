"""What happens by the clock: every job, what it does, and when it falls due. `jobs.timetable` says how each is done.

A due time is derived, never stored ahead: an interval's is the last point of its grid, a daily one's the time of day on
the local date in the operator's zone. So whoever looks at the clock finds the same due time and claims the same run
(`engine.jobruns`), and only the latest counts: after a stop a job is done once, however many turns were missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.errors import NotFound

QUARTER_S = 900
"""A job that falls due more often has no row for each run, but one that sums up each quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its name, what it does in words, and either its interval or its time of day in the operator's zone.

    However late, its turn is done as long as nobody did it: a machine that is off at night does it in the morning.
    Every job looks at what is due and not at what it missed, so that once is always enough. `longest_s`: how long a run
    may take before somebody is told, and before another process may do its turn.
    """

    name: str
    words: str
    every_s: int | None = None
    at: time | None = None
    longest_s: int = 3600

    @property
    def quiet(self) -> bool:
        """Whether it runs too often to keep a row for each run."""
        return self.every_s is not None and self.every_s < QUARTER_S


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a job: it fell due at `due_at`, and the next one does at `until`."""

    due_at: datetime
    until: datetime


def _daily(name: str, at: str, words: str, longest_s: int = 4 * 3600) -> Job:
    return Job(name, words, at=time.fromisoformat(at), longest_s=longest_s)


def _every(name: str, seconds: int, words: str, longest_s: int | None = None) -> Job:
    return Job(name, words, every_s=seconds, longest_s=longest_s or max(seconds, QUARTER_S))


_ALL = (
    _every("auto_recharge", 2, "Recharges the cards whose balance fell under the threshold of their rule."),
    _every("audit_chain", 5, "Gives new audit rows their place in the chain."),
    # The first time these two go through everything there is.
    _every("search", 5, "Folds new balances and states into what the card search reads.", 3600),
    _every("replacements", 5, "Moves what the last calls of a replaced card have set free to its new card."),
    _every("sweep", 15, "Ends the calls whose end never came, and sets off an alarm for their switch."),
    _every(
        "watch",
        15,
        "Sets off an alarm for work that failed, and for jobs that nobody could end or that do not end.",
    ),
    _every(
        "aggregates",
        60,
        "Counts calls, money, failed tries and stock by quarters of an hour, for the reports.",
        3600,
    ),
    _every("expiry", 60, "Tells on their timelines which cards have expired, and does what follows from it."),
    _every(
        "auto_recharge_catch_up", 300, "Looks for cards under their threshold that no recharge was left for."
    ),
    _every("tokens", 600, "Deletes card tokens that are dead."),
    _every("failures", 3600, "Deletes counts of wrong passwords that lie long ago."),
    _every("fees", 3600, "Charges the maintenance fees that have fallen due."),
    _every("sessions", 3600, "Deletes log-ins that are over."),
    _every("print_files", 3600, "Deletes files of printed cards a day after they were made."),
    _daily(
        "partitions", "00:20", "Makes the tables of the coming months, long before the first row needs one."
    ),
    _daily("expiry_catch_up", "00:40", "Looks for expired cards whose timelines do not tell of it."),
    _daily(
        "breakage",
        "01:10",
        "Writes off what is left on cards whose grace has ended, where the house's settings say so.",
    ),
    _daily(
        "shredding", "01:40", "Destroys the keys of batches whose passwords were to be readable only so long."
    ),
    _daily("recount", "02:10", "Counts the last days for the reports again, and all stock."),
    _daily("refold", "02:40", "Compares what the card search reads with every card."),
    _daily(
        "pruning", "03:40", "Deletes failed tries, finished work and old answers that are kept long enough."
    ),
    _daily("verify", "04:10", "Checks the books, and locks a card whose own are wrong.", 6 * 3600),
)

JOBS = {job.name: job for job in _ALL}
"""Every job by its name, the most frequent first."""


def find_job(name: str) -> Job:
    """Raises `NotFound` ("job_not_found")."""
    if name not in JOBS:
        raise NotFound("job_not_found", name=name)
    return JOBS[name]


def turn_of(job: Job, zone: ZoneInfo, now: datetime) -> Turn:
    """The turn that `now` is in: the last due time, and the next.

    A time of day that a zone skips is taken as much later as the clocks jump; one that comes twice is its first. So
    each local date has one turn.
    """
    if job.every_s is not None:
        begin = datetime.fromtimestamp(int(now.timestamp()) // job.every_s * job.every_s, UTC)
        return Turn(begin, begin + timedelta(seconds=job.every_s))
    day = now.astimezone(zone).date() + timedelta(days=1)
    until = _instant(job, zone, day)
    while (begin := _instant(job, zone, day - timedelta(days=1))) > now or begin == until:
        day, until = day - timedelta(days=1), begin
    return Turn(begin, until)


def _instant(job: Job, zone: ZoneInfo, day: date) -> datetime:
    assert job.at is not None  # noqa: S101 (a job has an interval or a time of day)
    return datetime.combine(day, job.at, zone).astimezone(UTC)
