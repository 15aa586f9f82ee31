"""Ask the models for a row."""

from __future__ import annotations

from collections.abc import Mapping

from model_loop.dashboard.fields import form_fields
from model_loop.dashboard.page import Page
from model_loop.dashboard.page_data import PageSources
from model_loop.intervals.grid import DEFAULT_LEVEL, HIGHEST_LEVEL, LEVEL, LOWEST_LEVEL

_LEVELS = {"default": DEFAULT_LEVEL, "lowest": LOWEST_LEVEL, "highest": HIGHEST_LEVEL}


def playground_page(sources: PageSources, _query: Mapping[str, str]) -> Page:
    """Return the page of the playground."""
    parts, dataset, words = sources.look("registry"), sources.dataset, sources.words
    standings = parts.registry.standings.values()
    panel = sources.pages.panel() if sources.pages else None
    champion = parts.registry.standing.champion
    # A panel comes with values of its own, and no rows have to be read.
    learned = parts.learned(champion) if champion is not None and panel is None else {}
    return Page(
        name="playground",
        title="Playground",
        lead=f"Ask for one {words.row}: what the champion predicts, how sure it is, why, and what "
        "the challenger would say.",
        notes=[*parts.problems, *(panel.notes if panel else ())],
        extra={
            "fields": form_fields(dataset, learned, panel.values if panel else {}),
            "moments": [
                (moment, f"{moment}: {dataset.when(moment)}")
                for moment in dataset.moments
                if moment in dataset.asked_at
            ],
            "panel": panel,
            # A column of this name goes first beside a single row; two classes have no set.
            "level": None
            if LEVEL in dataset.columns.by_any_name or dataset.target.kind == "binary"
            else _LEVELS,
            "champion": any(one.champion is not None for one in standings),
            "ready": any(one.champion is not None and one.enabled for one in standings),
            "looked": "registry" not in parts.missing,
        },
        waiting=parts.waiting,
    )
