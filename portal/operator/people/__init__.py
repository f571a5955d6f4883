"""People: staff and their log-ins, one's own log-in, what waits for a second person, the audit trail."""

from portal.operator.people import consents, me, staff, trail
from portal.operator.people.words import init_app

__all__ = ["consents", "init_app", "me", "staff", "trail"]
