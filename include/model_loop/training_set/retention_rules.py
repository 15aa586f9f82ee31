"""Numbers of training sets and months that are kept, as options."""

from __future__ import annotations

from model_loop.options import options, setting_option


@options
class Retention:
    """Limits of retention: the newest of each kind are kept, and all that is newer."""

    versions: int = setting_option("retention_versions", name="versions")
    days: float = setting_option("retention_days", name="days")
