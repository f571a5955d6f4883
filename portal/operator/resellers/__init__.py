"""Resellers: who sells cards for the operator, on what credit, with which stock, and their people."""

from portal.operator.resellers import page, people, statements, stock

__all__ = ["page", "people", "statements", "stock"]
