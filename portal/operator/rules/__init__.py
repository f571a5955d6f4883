"""Rules and settings: the rules of the house, switches and keys, access numbers, what cards may call, and brands."""

from portal.operator.rules import access_numbers, brand, destinations, settings, switches

__all__ = ["access_numbers", "brand", "destinations", "settings", "switches"]
