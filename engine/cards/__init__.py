"""Cards: what state one is in, who may use it, and from where."""
