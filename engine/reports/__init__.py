"""What the books say, and whether they are right."""
