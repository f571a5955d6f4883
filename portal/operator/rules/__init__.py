"""Rules and settings: the rules of the house, switches and their keys, access numbers, and what cards may call."""

from portal.operator.rules import access_numbers, destinations, settings, switches

__all__ = ["access_numbers", "destinations", "settings", "switches"]
