"""Classes that stored models name."""

from model_loop.models.selection import ColumnSelector

__all__ = ["ColumnSelector"]
