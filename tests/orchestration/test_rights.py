"""Rights on the pages of a dataset, by those on its DAGs."""

from __future__ import annotations

import asyncio

import pytest

from model_loop.dashboard.app import Right
from model_loop.datasets.registry import get_dataset
from model_loop.orchestration.web import dashboard
from model_loop.serving.http.requests import RequestRefusedError

DATASETS = [get_dataset("trips"), get_dataset("bikes")]


@pytest.mark.parametrize(
    ("granted", "names"),
    [
        ({("bikes__promotion", "POST")}, {"promote": {"bikes"}}),
        ({("promotion", "POST")}, {"promote": {"trips"}}),
        ({("prediction", "GET")}, {"look": {"trips"}}),
        (
            {("bikes__prediction", "GET"), ("bikes__prediction", "POST")},
            {"look": {"bikes"}, "ask": {"bikes"}},
        ),
        (set(), {}),
    ],
)
def test_a_right_is_one_on_the_dag_of_the_dataset(
    monkeypatch: pytest.MonkeyPatch, granted: set[tuple[str, str]], names: dict[Right, set[str]]
) -> None:
    """Whoever may move versions of one dataset may not move those of another."""

    async def authenticate(_scope: object, dag_id: str, method: str) -> str:
        if (dag_id, method) not in granted:
            raise RequestRefusedError(403, "The request", "is refused", "Ask.")
        return "ann"

    monkeypatch.setattr(dashboard, "authenticate", authenticate)
    rights: tuple[Right, ...] = ("look", "ask", "promote")
    for right in rights:
        found = asyncio.run(dashboard.allowed_datasets({}, right, DATASETS))
        assert found == names.get(right, set()), right
    if names.get("look"):
        assert asyncio.run(dashboard.name_of_user({})) == "ann"
    else:
        with pytest.raises(RequestRefusedError):
            asyncio.run(dashboard.name_of_user({}))
