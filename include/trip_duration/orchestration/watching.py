"""The trigger that waiting sensors of old runs name."""

from model_loop.orchestration.schedules.watching import NewMonthTrigger

__all__ = ["NewMonthTrigger"]
