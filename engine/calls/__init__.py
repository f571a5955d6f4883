"""Calls: rate decks, rating, the control of a call from authorization to its CDR."""
