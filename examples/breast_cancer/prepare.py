"""Write the table of breast cancers that scikit-learn ships, and the weights of a scoring script.

Usage: python examples/breast_cancer/prepare.py
"""

from __future__ import annotations

import json
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent

table = load_breast_cancer(as_frame=True).frame
table.columns = [name.replace(" ", "_") for name in table.columns]
inputs = table.drop(columns="target")
table["benign"] = table.pop("target")
table.insert(0, "sample", range(len(table)))
table.to_csv(HERE / "breast_cancer.csv", index=False)

scaler, model = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, table["benign"])
weights = {
    "intercept": float(model.intercept_[0]),
    "mean": dict(zip(inputs, scaler.mean_.tolist(), strict=True)),
    "weight": dict(zip(inputs, (model.coef_[0] / scaler.scale_).tolist(), strict=True)),
}
(HERE / "code" / "weights.json").write_text(json.dumps(weights, indent=1))
print(f"{len(table)} rows in {HERE / 'breast_cancer.csv'}")
