"""The people and machines that act: staff and their sessions, switches and their keys, the audit trail."""
