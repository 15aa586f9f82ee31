"""The trigger that waiting sensors of old runs name."""

from model_loop.orchestration.watching import NewMonthTrigger

__all__ = ["NewMonthTrigger"]
