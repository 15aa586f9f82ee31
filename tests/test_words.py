"""The loop speaks of no dataset: neither its names nor its texts hold a word of the trips."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import model_loop

PACKAGE = Path(model_loop.__file__).parent

#: Words of the taxi trips, in lower case. Flights and bikes may be examples: they are files that a
#: reader can open, and no code is theirs.
WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        borough boroughs cab cabs dropoff dropoffs ehail fare fares fhv fhvhv green mile miles nyc
        passenger passengers pickup pickups pu ratecode ride rides taxi taxis tlc trip trips vendor
        yellow zone zones
        """,
    )
)

#: Words of other meanings, in any file.
_OTHERWISE = re.compile(
    r"time[\W_]*zones?|zone_?info|round[\W_]trips?",
    re.IGNORECASE,
)

#: Words that a file may hold, and the reason.
EXCEPTIONS = {
    "charts/figures/__init__.py": ("green yellow", "colours of charts"),
    "charts/figures/frame.py": ("green yellow", "colours of charts"),
    "cli/drafts.py": ("green yellow", "colours of the terminal"),
    "dashboard/pages/monitoring.py": ("green", "a colour of charts"),
    "dashboard/pages/overview.py": ("green", "a colour of charts"),
    "drafting/vocabulary.toml": ("vendor", "words that names of columns hold"),
    "local/demo.py": ("green", "a colour of the terminal"),
    "models/evaluation.py": ("trips", "a column of tables that versions before 0.2 stored"),
    "monitoring/profile.py": ("trips", "a file of profiles that versions before 0.2 stored"),
    "monitoring/tested.py": ("trips", "a column of tables that versions before 0.2 stored"),
    "objects/allowed.py": ("trip", "classes inside models that older versions stored"),
    "objects/codecs/series.py": ("trip", "a key of files that versions before 0.2 stored"),
    "objects/formats.py": ("trip trips zone zones", "formats that versions before 0.2 stored"),
    "orchestration/web/former_addresses.py": ("trip", "addresses before 0.2"),
    "production/environment.py": ("trip", "the bucket of installations since 0.1"),
    "serving/compiled/model.py": ("trip", "the format of compiled models before 0.2"),
    "settings/monitoring.py": ("trips", "the former name of a setting"),
    "settings/serving.py": ("trips", "the former name of a setting"),
    "settings/renamed.py": ("trip", "the prefix of settings before 0.2"),
    "tracking/registry.py": ("trip", "classes inside models that older versions stored"),
    "tracking/runs.py": ("trip", "a tag of runs that versions before 0.2 stored"),
}

#: The words of names and texts, split at underscores, hyphens and capitals.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words_of(text: str) -> Iterator[str]:
    """Every word of a dataset in a text, in lower case."""
    text = _OTHERWISE.sub("", text)
    text = re.sub(r"\b(pick|drop)-(ups?|offs?)\b", r"\1\2", text, flags=re.IGNORECASE)
    return (word for found in _WORD.findall(text) if (word := found.lower()) in WORDS)


def files() -> dict[str, str]:
    """Every file of the package, by its path, with its path and text: what people may read."""
    named = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*"))}
    return {
        name: f"{name}\n{path.read_text()}"
        for name, path in named.items()
        if path.is_file() and "__pycache__" not in name
    }


def test_the_loop_holds_no_word_of_a_dataset() -> None:
    """Identifiers, texts, comments, pages, scripts, styles: they move to the package of trips."""
    held = {
        name: words
        for name, text in files().items()
        if (words := {*words_of(text)} - {*EXCEPTIONS.get(name, ("", ""))[0].split()})
    }
    assert held == {}


def test_every_exception_is_needed() -> None:
    """An exception goes with the last of its words."""
    texts = files()
    needless = {
        name: unused
        for name, (words, _) in EXCEPTIONS.items()
        if (unused := {*words.split()} - {*words_of(texts.get(name, ""))})
    }
    assert needless == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def zone_of(trip): ...", ["zone", "trip"]),
        ("class OneHotTripEncoder", ["trip"]),
        ("PULocationID, DOLocationID", ["pu"]),
        ("MAX_FARES", ["fares"]),
        ("A pick-up, a drop-off", ["pickup", "dropoff"]),
        ("Taxi's Green", ["taxi", "green"]),
        ("time zones, time_zone, TimeZone, timezone and time\n    # zone", []),
        ("zoneinfo.ZoneInfo, a round trip, round_trip", []),
        ("stripes, farewell, tripod, greenhouse, smiles", []),
    ],
)
def test_words_are_whole(text: str, words: list[str]) -> None:
    """They are found inside names, and not inside longer words or those of another meaning."""
    assert [*words_of(text)] == words
