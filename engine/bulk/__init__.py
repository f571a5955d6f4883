"""Commands over many cards: preview, frozen targets, set operations in the background, result."""
