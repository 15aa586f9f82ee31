"""The pages over HTTP, without the guard around them."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient
from tests.dashboard.conftest import REGISTRY, RUN, MakeSources, dashboard_of
from tests.heating import heating

from model_loop.dashboard.app import POLICY


@pytest.fixture
def client(make_sources: MakeSources) -> TestClient:
    """A browser without a screen."""
    sources = make_sources(families=(RUN,), registry=REGISTRY)
    return TestClient(dashboard_of(sources).app(), follow_redirects=False)


def test_a_chart_gives_its_data(client: TestClient) -> None:
    """As CSV under the name of the chart; what there is not is 404 with the rule."""
    answer = client.get("/overview/rmse_by_model.csv")
    assert answer.text.splitlines()[1].startswith("xgboost,1,4.5")
    assert answer.headers["content-disposition"] == 'attachment; filename="rmse_by_model.csv"'
    assert client.get("/overview/nothing.csv").status_code == 404
    assert client.get("/nothing").json()["error"]["remedy"].startswith("There are: overview")


def test_tabs_lead_to_the_page_of_a_dag(client: TestClient) -> None:
    """A run of a training DAG to its own model, everything unknown to the overview."""
    run = client.get("/for", params={"dag_id": "xgboost_training", "run_id": "manual__1+00:00"})
    assert run.headers["location"] == "models?dag_run=manual__1%2B00%3A00"
    other = client.get("/for", params={"dag_id": "//elsewhere", "run_id": "1"})
    assert other.headers["location"] == "overview"


@pytest.mark.parametrize(
    ("dag_id", "address"),
    [
        ("data_preparation", "data"),
        ("green_months", "data"),
        ("yellow_months", "data?variant=yellow"),
        ("new_months", "data"),
        ("prediction", "playground"),
        ("alerts", "overview"),
        ("heating__promotion", "models?variant=heating"),
        ("heating__partitions", "data?variant=heating"),
        ("heating__monitoring", "monitoring?variant=heating"),
        ("removed__promotion", "overview"),
    ],
)
def test_tabs_of_every_dataset_lead_to_its_pages(
    client: TestClient, dag_id: str, address: str
) -> None:
    """By the job in the id of the DAG, and the variant where a DAG is of one."""
    heating()
    assert client.get("/for", params={"dag_id": dag_id}).headers["location"] == address


def test_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    """The policy says so, and every asset that a page names is there."""
    answer = client.get("/models")
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe-eval" not in POLICY
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    for name in (
        "plotly.js",
        "plots.js",
        "dashboard.js",
        "colors.css",
        "dashboard.css",
        "icon-light.svg",
    ):
        assert client.get(f"/static/any/{name}").status_code == 200
    assert client.get("/static/any/..%2Fapp.py").status_code == 404
    assert client.get("/static/any/app.py").status_code == 404
