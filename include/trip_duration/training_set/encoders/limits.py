"""Numbers that encoders and their compiled forms share; light, so that servers can import them."""

from __future__ import annotations

#: Miles. The meter of a shorter trip says little about its pace.
SHORTEST_DISTANCE = 0.3
#: Stands for a detour between zones that have no place on the map.
MISSING = -1.0
