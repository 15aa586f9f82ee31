"""The trigger that waiting sensors of old runs name."""

from model_loop.orchestration.schedules.watching import NewPartitionTrigger as NewMonthTrigger

__all__ = ["NewMonthTrigger"]
