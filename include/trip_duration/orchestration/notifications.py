"""The callback that deadlines of old runs name."""

from model_loop.orchestration.alerts.notifications import tell_of_deadline

__all__ = ["tell_of_deadline"]
