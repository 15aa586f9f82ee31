"""Rights on the pages, by dataset: looking, asking, moving versions."""

from __future__ import annotations

import dataclasses

from starlette.testclient import TestClient
from tests.dashboard.conftest import REGISTRY, RUN, MakeSources, Rights, dashboard_of
from tests.heating import heating

from model_loop.dashboard.app import asked_variant


def test_a_page_is_for_those_who_may_see_its_dataset(make_sources: MakeSources) -> None:
    """Another dataset is neither shown nor offered, nor are its models."""
    heating()
    sources = make_sources(variant="heating")
    rights: Rights = {"look": ("heating",), "ask": ()}
    client = TestClient(dashboard_of(sources, rights=rights).app())
    shown = client.get("/overview?variant=heating")
    assert shown.status_code == 200
    assert '<option value="heating" selected>' in shown.text
    assert "green" not in shown.text
    for path in ("/overview?variant=green", "/data/partitions.csv?variant=green"):
        refused = client.get(path)
        assert refused.status_code == 403, path
        assert "may not see the pages of NYC taxi trips" in refused.text
    assert client.post("/explain?variant=heating", json={}).status_code == 403
    assert client.get("/overview?variant=unknown").status_code == 422


def test_without_a_name_the_first_dataset_that_is_seen_is_shown(make_sources: MakeSources) -> None:
    """The default one, unless the person may not see it; who sees none is refused."""
    heating()
    sources = make_sources(variant="heating")
    pages = dataclasses.replace(
        dashboard_of(sources, rights={"look": ("heating",)}), default="green"
    )
    assert "Heat of buildings" in TestClient(pages.app()).get("/overview").text
    stranger = TestClient(dashboard_of(sources, rights={"look": ()}).app())
    for path in ("/overview", "/", "/static/0/plotly.js", "/for?dag_id=monitoring"):
        assert stranger.get(path, follow_redirects=False).status_code == 403, path


def test_versions_are_moved_by_those_who_may_for_the_dataset(make_sources: MakeSources) -> None:
    """Buttons name the DAG of the dataset; the right on another one shows none."""
    heating()
    run = dataclasses.replace(RUN, service="heating")
    sources = make_sources(variant="heating", families=(run,), registry=REGISTRY)
    pages = {
        name: TestClient(dashboard_of(sources, rights={"promote": (name,)}).app())
        .get("/models?variant=heating")
        .text
        for name in ("heating", "trips")
    }
    assert 'data-dag="heating__promotion" data-variant="heating">' in pages["heating"]
    assert 'data-action="rollback"' in pages["heating"]
    assert "data-dag=" not in pages["trips"]
    assert 'data-action="' not in pages["trips"]
    trips = TestClient(dashboard_of(make_sources(families=(RUN,), registry=REGISTRY)).app())
    assert (
        'data-dag="promotion" data-variant="green" data-field="service">'
        in trips.get("/models").text
    )


def test_an_address_names_a_variant_in_several_ways() -> None:
    """By its key, by its dataset, and as trips had it first."""
    heating()
    assert asked_variant({"variant": "heating"}) == "heating"
    assert asked_variant({"dataset": "heating"}) == "heating"
    assert asked_variant({"service": "yellow"}) == "yellow"
    assert asked_variant({"service": "heating", "month": "2024-01"}) == ""
