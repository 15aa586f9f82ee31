"""A scoring script: one JSON text in, a dictionary out."""

import json
import math
from pathlib import Path
from typing import Any

HALF = 0.5


def _weights(base_path: str) -> Any:
    return json.loads(Path(base_path, "weights.json").read_text())


def score(data: str, base_path: str) -> dict[str, float]:
    """Return whether a tumour is benign, and the probability of that."""
    row, weights = json.loads(data), _weights(base_path)
    amount = weights["intercept"] + sum(
        weight * (row[name] - weights["mean"][name]) for name, weight in weights["weight"].items()
    )
    proba = 1 / (1 + math.exp(-amount))
    return {"pred": int(proba >= HALF), "proba": proba}


def explain(data: str, base_path: str) -> dict[str, float]:
    """Return how much each value adds to the probability, by its share of the log-odds."""
    row, weights = json.loads(data), _weights(base_path)
    added = {
        name: weight * (row[name] - weights["mean"][name])
        for name, weight in weights["weight"].items()
    }
    base = 1 / (1 + math.exp(-weights["intercept"]))
    total = sum(added.values())
    change = score(data, base_path)["proba"] - base
    slope = change / total if total else 0.0
    return {"base": base, **{name: slope * amount for name, amount in added.items()}}
