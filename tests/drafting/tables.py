"""Tables of other people, generated: each with what a careful person would say of it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Case:
    """A table with its truth.

    Parameters
    ----------
    kinds
        Types that are right, by column; alternatives stand behind a bar.
    raised
        Codes of findings, and the columns that they have to name.
    leaks
        Columns that are known later, and that no equation shows.
    codes
        Codes of further findings.
    above
        Lines above the header.
    """

    frame: pd.DataFrame
    target: str
    kinds: Mapping[str, str]
    raised: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    leaks: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    above: str = ""

    def write(self, path: Path) -> Path:
        """Write the table as CSV, below the lines that stand above it."""
        text = self.frame.to_csv(index=False, sep=self.separator, decimal=self.decimal)
        path.write_text(self.above + text, encoding=self.encoding, newline="")
        return path


Make = Callable[[np.random.Generator], Case]
CASES: dict[str, Make] = {}


def _case(make: Make) -> Make:
    """Add a table to the bench."""
    CASES[make.__name__] = make
    return make


def make_case(name: str, seed: int = 0) -> Case:
    """Return a table of the bench."""
    return CASES[name](np.random.default_rng([seed, len(name)]))


def each_case(seed: int = 0) -> Iterator[tuple[str, Case]]:
    """Yield all tables of the bench."""
    for name in CASES:
        yield name, make_case(name, seed)


@_case
def shop_orders(draw: np.random.Generator) -> Case:
    """Orders: the amount is a product, a copy in cents and one as text stand beside it."""
    n = 2_000
    frame = pd.DataFrame(
        {
            "order_id": draw.permutation(np.arange(100_000, 100_000 + 50 * n, 50)),
            "customer_id": draw.integers(1, 300, n),
            "ordered_at": _times(draw, n, "2023-01-01", "%Y-%m-%d %H:%M:%S"),
            "store": draw.choice(["North", "South", "West"], n),
            "quantity": draw.integers(1, 12, n),
            "unit_price": draw.gamma(3, 8, n).round(2),
            "express": draw.choice(["yes", "no"], n),
            "note": [_sentence(draw) for _ in range(n)],
        }
    )
    frame["amount"] = (frame.quantity * frame.unit_price).round(2)
    frame["amount_cents"] = (frame.amount * 100).round().astype(int)
    frame["invoice"] = frame.amount.map(lambda each: f"USD {each:,.2f}")
    frame["points"] = (frame.amount / 10 + draw.normal(0, 1, n)).round()
    return Case(
        frame,
        "amount",
        {
            "order_id": "id", "customer_id": "id|category", "ordered_at": "time",
            "store": "category", "quantity": "number", "unit_price": "number",
            "express": "yes_no", "note": "text", "amount": "number", "amount_cents": "number",
            "invoice": "category|text|id", "points": "number",
        },
        {"target_copy": ("amount_cents", "invoice"), "id_like": ("order_id",),
         "target_product": ("quantity", "unit_price")},
        ("points",),
    )  # fmt: skip


@_case
def german_cp1252(draw: np.random.Generator) -> Case:
    """A German export: cp1252, semicolons, decimal commas, days before months."""
    n = 900
    area = draw.uniform(25, 180, n).round(1)
    rent = (area * draw.normal(12, 2, n)).round(2)
    extra = draw.uniform(60, 300, n).round(2)
    frame = pd.DataFrame(
        {
            "Lfd. Nr.": np.arange(1, n + 1),
            "Straße": draw.choice(["Hauptstraße", "Gärtnerweg", "Am Brühl", "Schloßallee"], n),
            "PLZ": draw.choice(["01067", "10115", "20095", "80331", "50667"], n),
            "Wohnfläche (m²)": area,
            "Baujahr": draw.integers(1890, 2023, n),
            "Balkon": draw.choice(["ja", "nein"], n),
            "Inseriert am": _times(draw, n, "2022-03-01", "%d.%m.%Y"),
            "Kaltmiete": rent,
            "Nebenkosten": extra,
            "Warmmiete": (rent + extra).round(2),
        }
    )
    return Case(
        frame,
        "Warmmiete",
        {
            "Lfd. Nr.": "id", "Straße": "category", "PLZ": "category", "Wohnfläche (m²)": "number",
            "Baujahr": "number", "Balkon": "yes_no", "Inseriert am": "time",
            "Kaltmiete": "number", "Nebenkosten": "number", "Warmmiete": "number",
        },
        {"target_sum": ("Kaltmiete", "Nebenkosten"), "id_like": ("Lfd. Nr.",)},
        codes=("encoding",), separator=";", decimal=",", encoding="cp1252",
    )  # fmt: skip


@_case
def wide(draw: np.random.Generator) -> Case:
    """Five hundred columns, one of which is a noisy later measurement."""
    n = 600
    x = draw.normal(size=(n, 480)).round(4)
    columns = {f"x{place:03d}": x[:, place] for place in range(480)}
    y = (x[:, :20].sum(axis=1) + draw.normal(0, 2, n)).round(3)
    columns |= {"y": y, "x480": (y + draw.normal(0, 1, n)).round(3)}
    columns |= {f"x{place}": draw.choice(list("abcdef"), n) for place in range(481, 499)}
    columns["x499"] = np.full(n, 7)
    kinds = dict.fromkeys(columns, "number")
    kinds |= {f"x{place}": "category" for place in range(481, 499)} | {"x499": "ignored"}
    return Case(pd.DataFrame(columns), "y", kinds, {"constant": ("x499",)}, ("x480",))


@_case
def tiny(draw: np.random.Generator) -> Case:
    """Forty rows, of which half is missing in one column."""
    n = 40
    dose = draw.uniform(1, 20, n).round(1)
    frame = pd.DataFrame(
        {
            "patient": [f"P{place:03d}" for place in range(n)],
            "sex": draw.choice(["f", "m"], n),
            "age": draw.integers(20, 80, n),
            "dose_mg": dose,
            "smoker": np.where(draw.random(n) < 0.5, "", draw.choice(["Y", "N"], n)),
            "response": (dose * 2 + draw.normal(0, 5, n)).round(1),
        }
    )
    return Case(
        frame,
        "response",
        {
            "patient": "id", "sex": "category|yes_no", "age": "number", "dose_mg": "number",
            "smoker": "yes_no", "response": "number",
        },
        {"id_like": ("patient",)},
        codes=("too_few_rows",),
    )  # fmt: skip


@_case
def daily_with_gaps(draw: np.random.Generator) -> Case:
    """One row a day, some days are missing; the American order of dates."""
    days = pd.date_range("2019-01-01", periods=1_100)
    chosen = np.sort(draw.choice(len(days), 1_040, replace=False))
    n, days = len(chosen), days[chosen]
    level = 100 + 20 * np.sin(np.arange(n) / 58) + draw.normal(0, 5, n)
    frame = pd.DataFrame(
        {
            "Date": days.strftime("%m/%d/%Y"),
            "weekday": days.day_name(),
            "temp_c": (15 + 10 * np.sin(np.arange(n) / 58) + draw.normal(0, 3, n)).round(1),
            "holiday": (draw.random(n) < 0.03).astype(int),
            "load_mw": level.round(1),
            "peak_mw": (level * 1.2 + draw.normal(0, 3, n)).round(1),
        }
    )
    return Case(
        frame,
        "load_mw",
        {
            "Date": "time", "weekday": "category", "temp_c": "number", "holiday": "yes_no",
            "load_mw": "number", "peak_mw": "number",
        },
        {"time_gaps": ("Date",)},
        ("peak_mw",),
    )  # fmt: skip


@_case
def sensors_with_sentinels(draw: np.random.Generator) -> Case:
    """Hourly measurements, in which -200, 999 and words stand for a missing value."""
    n = 3_000
    hours = pd.date_range("2021-03-10", periods=n, freq="h")
    co = draw.gamma(4, 0.5, n).round(1)
    nox = (co * 80 + draw.normal(0, 20, n)).round()
    wind = draw.gamma(2, 2, n).round(1).astype(str)
    frame = pd.DataFrame(
        {
            "time": hours.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "co": np.where(draw.random(n) < 0.08, -200, co),
            "nox": np.where(draw.random(n) < 0.04, -200, nox),
            "humidity": np.where(draw.random(n) < 0.03, 999, draw.uniform(20, 90, n).round(1)),
            "wind": np.where(draw.random(n) < 0.02, "calm", wind),
            "station": draw.choice([101, 205, 310], n),
            "benzene": (co * 4 + draw.normal(0, 1, n)).round(2),
        }
    )
    return Case(
        frame,
        "benzene",
        {
            "time": "time", "co": "number", "nox": "number", "humidity": "number",
            "wind": "number", "station": "category", "benzene": "number",
        },
        {"sentinel": ("co", "nox", "humidity", "wind")},
    )  # fmt: skip


@_case
def loans(draw: np.random.Generator) -> Case:
    """A yes/no target that is the OR of two columns; one column is filled only after a default."""
    n = 4_000
    income, age = draw.lognormal(10, 0.4, n).round(), draw.integers(18, 80, n)
    late = draw.random(n) + (income < 20_000) * 0.1 > 0.93
    fraud = draw.random(n) < 0.03
    default = late | fraud
    recovered = draw.uniform(0, 900, n).round(2).astype(str)
    frame = pd.DataFrame(
        {
            "loan": [str(uuid.UUID(bytes=draw.bytes(16))) for _ in range(n)],
            "income": income,
            "age": age,
            "grade": draw.choice(list("ABCDE"), n),
            "term": draw.choice([36, 60], n),
            "opened": _times(draw, n, "2020-01-01", "%d/%m/%Y"),
            "late_90": late,
            "fraud_flag": fraud,
            "recovered": np.where(default, recovered, ""),
            "calls": np.where(default, draw.poisson(4, n), draw.poisson(1, n)),
            "defaulted": default.astype(int),
        }
    )
    return Case(
        frame,
        "defaulted",
        {
            "loan": "id", "income": "number", "age": "number", "grade": "category",
            "term": "category|number", "opened": "time", "late_90": "yes_no",
            "fraud_flag": "yes_no", "recovered": "number", "calls": "number",
            "defaulted": "yes_no",
        },
        {"target_or": ("late_90", "fraud_flag"), "id_like": ("loan",),
         "leak_suspected": ("recovered",)},
        ("calls", "recovered"),
    )  # fmt: skip


@_case
def japanese(draw: np.random.Generator) -> Case:
    """Names and values in Japanese; the target is a difference of two columns."""
    n = 1_500
    sales, cost = draw.gamma(5, 2_000, n).round(), draw.gamma(4, 1_500, n).round()
    frame = pd.DataFrame(
        {
            "番号": np.arange(5_000, 5_000 + n),
            "日付": pd.date_range("2020-04-01", periods=n).strftime("%Y/%m/%d"),
            "地区": draw.choice(["東京", "大阪", "名古屋", "福岡"], n),
            "人数": draw.integers(1, 40, n),
            "売上": sales,
            "費用": cost,
            "利益": sales - cost,
        }
    )
    return Case(
        frame,
        "利益",
        {
            "番号": "id", "日付": "time", "地区": "category", "人数": "number", "売上": "number",
            "費用": "number", "利益": "number",
        },
        {"target_difference": ("売上", "費用"), "id_like": ("番号",)},
    )  # fmt: skip


@_case
def with_totals(draw: np.random.Generator) -> Case:
    """Regions by month, with a row of the total for each month."""
    rows = []
    for month in pd.date_range("2015-01-01", periods=60, freq="MS"):
        counts = draw.poisson([80, 120, 40, 60])
        for region, count in zip(["Nord", "Sud", "Est", "Ouest"], counts, strict=True):
            rows.append((month.strftime("%Y-%m"), region, count, draw.uniform(5, 9)))
        rows.append((month.strftime("%Y-%m"), "Total", counts.sum(), draw.uniform(5, 9)))
    frame = pd.DataFrame(rows, columns=["mois", "région", "nombre", "taux"]).round(2)
    return Case(
        frame,
        "nombre",
        {"mois": "time", "région": "category", "nombre": "number", "taux": "number"},
        {"aggregate_rows": ("région",)},
    )


@_case
def several_visits(draw: np.random.Generator) -> Case:
    """Visits of patients without a time: the same patient comes several times; rows are doubled."""
    patients = 400
    who = np.repeat(np.arange(patients), draw.integers(1, 6, patients))
    n = len(who)
    frame = pd.DataFrame(
        {
            "Kennung": (draw.permutation(9_000)[:patients] + 1_000)[who],
            "Geschlecht": draw.choice(["w", "m"], patients)[who],
            "Alter": draw.integers(18, 90, patients)[who],
            "Blutdruck": draw.normal(130, 15, n).round(),
            "Cholesterin": draw.normal(200, 30, n).round(1),
        }
    )
    frame["Risiko"] = (frame.Alter * 0.5 + frame.Blutdruck * 0.2 + draw.normal(0, 5, n)).round(1)
    return Case(
        pd.concat([frame, frame.sample(40, random_state=1)]),
        "Risiko",
        {
            "Kennung": "id|category", "Geschlecht": "category|yes_no", "Alter": "number",
            "Blutdruck": "number", "Cholesterin": "number", "Risiko": "number",
        },
        {"repeated_entities": ("Kennung",)},
        codes=("duplicates",),
    )  # fmt: skip


@_case
def shuffled_names(draw: np.random.Generator) -> Case:
    """Names that say nothing: codes show in the target alone, and copies in other scales."""
    n = 5_000
    code, size = draw.integers(1, 40, n), draw.normal(50, 10, n)
    y = (draw.normal(0, 30, 40)[code] + size + draw.normal(0, 5, n)).round(2)
    frame = pd.DataFrame(
        {
            "qz": code,
            "vv": size.round(3),
            "kk": draw.poisson(3, n),
            "a1": ((y - 32) / 1.8).round(3),
            "b7": pd.qcut(y, 8, labels=False),
            "ww": (y * 0.9 + draw.normal(0, 8, n)).round(1),
            "rr": np.log(y - y.min() + 1).round(6),
            "yy": y,
        }
    )
    return Case(
        frame,
        "yy",
        {
            "qz": "category", "vv": "number", "kk": "number", "a1": "number",
            "b7": "number|category", "ww": "number", "rr": "number", "yy": "number",
        },
        {"target_copy": ("a1", "b7", "rr")},
        ("ww",),
    )  # fmt: skip


@_case
def machine_jobs(draw: np.random.Generator) -> Case:
    """Jobs of a machine: the target is the time between two columns, in minutes."""
    n = 1_200
    start = np.sort(draw.integers(0, 90 * 86_400, n))
    begin = pd.Timestamp("2024-02-01") + pd.to_timedelta(start, "s")
    seconds = draw.gamma(3, 400, n).round()
    frame = pd.DataFrame(
        {
            "job": [f"J-{draw.integers(10**8, 10**9)}" for _ in range(n)],
            "machine": draw.integers(1, 9, n),
            "started": begin.strftime("%Y-%m-%d %H:%M:%S"),
            "finished": (begin + pd.to_timedelta(seconds, "s")).strftime("%Y-%m-%d %H:%M:%S"),
            "parts": (seconds / 60 + draw.normal(0, 3, n)).round().clip(1),
            "operator": draw.choice(["Ana", "Bo", "Cem"], n),
            "minutes": (seconds / 60).round(2),
        }
    )
    return Case(
        frame,
        "minutes",
        {
            "job": "id", "machine": "category|number", "started": "time", "finished": "time",
            "parts": "number", "operator": "category", "minutes": "number",
        },
        {"target_difference": ("finished",), "id_like": ("job",)},
        ("parts",),
    )  # fmt: skip


@_case
def houses_of_parts(draw: np.random.Generator) -> Case:
    """The target is a sum of three columns; Spanish names."""
    n = 800
    land, house, tax = (draw.gamma(4, scale, n).round(-2) for scale in (20_000, 50_000, 900))
    frame = pd.DataFrame(
        {
            "código postal": draw.choice([28001, 28013, 8001, 41004, 46002], n),
            "habitaciones": draw.integers(1, 7, n),
            "año": draw.integers(1950, 2022, n),
            "garaje": draw.choice(["sí", "no"], n),
            "valor del suelo": land,
            "valor de la casa": house,
            "impuesto": tax,
            "precio": land + house + tax,
        }
    )
    return Case(
        frame,
        "precio",
        {
            "código postal": "category", "habitaciones": "number", "año": "number",
            "garaje": "yes_no", "valor del suelo": "number", "valor de la casa": "number",
            "impuesto": "number", "precio": "number",
        },
        {"target_sum": ("valor del suelo", "valor de la casa", "impuesto")},
    )  # fmt: skip


@_case
def classes(draw: np.random.Generator) -> Case:
    """Three classes as words, and a column that says them in numbers."""
    n = 900
    which = draw.integers(0, 3, n)
    frame = pd.DataFrame(
        {
            "length [mm]": (draw.normal(50, 5, n) + 6 * which).round(1),
            "width.mm": (draw.normal(20, 3, n) + 2 * which).round(1),
            'the "mass"': draw.normal(3, 1, n).round(2),
            "label_no": which + 1,
            "empty": "",
            "species": np.array(["setosa", "virginica", "other"])[which],
        }
    )
    return Case(
        frame,
        "species",
        {
            "length [mm]": "number", "width.mm": "number", 'the "mass"': "number",
            "label_no": "category|number", "empty": "ignored", "species": "category",
        },
        {"target_copy": ("label_no",), "all_missing": ("empty",)},
    )  # fmt: skip


@_case
def unit_prices(draw: np.random.Generator) -> Case:
    """Days without separators; the target is the ratio of two columns, one of them with gaps."""
    n = 2_500
    days = pd.Timestamp("2022-01-01") + pd.to_timedelta(np.sort(draw.integers(0, 500, n)), "D")
    total, count = draw.gamma(5, 100, n).round(2), draw.integers(2, 50, n)
    frame = pd.DataFrame(
        {
            "day": days.strftime("%Y%m%d"),
            "sku": draw.choice([f"A{each:04d}" for each in range(40)], n),
            "total": total,
            "count": count,
            "promo": draw.choice([0, 1], n, p=[0.8, 0.2]),
            "discount_pct": draw.choice([0, 5, 10, 15, 20], n),
            "price": (total / count).round(3),
        }
    )
    frame.loc[draw.random(n) < 0.05, "total"] = np.nan
    return Case(
        frame,
        "price",
        {
            "day": "time", "sku": "category", "total": "number", "count": "number",
            "promo": "yes_no", "discount_pct": "number", "price": "number",
        },
        {"target_ratio": ("total", "count")},
    )  # fmt: skip


@_case
def calls_without_outcome(draw: np.random.Generator) -> Case:
    """Some calls have no outcome, and what is measured at their end is missing with it."""
    n = 3_000
    start = np.sort(draw.integers(0, 120 * 86_400, n))
    begin = pd.Timestamp("2023-05-01") + pd.to_timedelta(start, "s")
    wait, ended = draw.exponential(60, n).round(), draw.random(n) > 0.06
    rating = (5 - wait / 60 + draw.normal(0, 1, n)).round(1)
    frame = pd.DataFrame(
        {
            "début": begin.strftime("%d/%m/%Y %H:%M:%S"),
            "canal": draw.choice(["web", "voix", "mail"], n),
            "attente_s": wait,
            "durée_s": np.where(ended, draw.gamma(3, 100, n).round(), np.nan),
            "agent": draw.integers(1, 25, n),
            "note": np.where(ended, rating, np.nan),
        }
    )
    return Case(
        frame,
        "note",
        {
            "début": "time", "canal": "category", "attente_s": "number", "durée_s": "number",
            "agent": "category|number", "note": "number",
        },
        {"leak_suspected": ("durée_s",), "target_missing": ("note",)},
        ("durée_s",),
    )  # fmt: skip


@_case
def estate_agent(draw: np.random.Generator) -> Case:
    """A spreadsheet: titles above, a sum below, units, percent and currency beside the numbers."""
    n = 600
    area, price = draw.uniform(30, 200, n).round(1), draw.normal(400_000, 90_000, n).round(2)
    fee = (price * draw.choice([0.0357, 0.0238], n)).round(2)
    frame = pd.DataFrame(
        {
            "Exposé": [f"EX-{place:05d}" for place in range(n)],
            "Angeboten am": _times(draw, n, "2023-02-01", "%d.%m.%Y"),
            "Wohnfläche": [f"{_german(each, 1)} m²" for each in area],
            "Nachlass": [f"{_german(each, 1)} %" for each in draw.uniform(0, 30, n)],
            "Besichtigung": [f"{draw.integers(8, 19)}:{draw.integers(0, 60):02}" for _ in range(n)],
            "Balkon": draw.choice(["ja", "nein"], n),
            "Kaufpreis": [f"{_german(each)} €" for each in price],
            "Provision": [f"{_german(each)} €" for each in fee],
            "Gesamt": [f"{_german(each)} €" for each in price + fee],
        }
    )
    frame.loc[n] = ["Summe", *[""] * 7, f"{_german((price + fee).sum())} €"]
    return Case(
        frame,
        "Gesamt",
        {
            "Exposé": "id", "Angeboten am": "time", "Wohnfläche": "number", "Nachlass": "number",
            "Besichtigung": "time", "Balkon": "yes_no", "Kaufpreis": "number",
            "Provision": "number", "Gesamt": "number",
        },
        {"target_sum": ("Kaufpreis", "Provision"), "id_like": ("Exposé",),
         "aggregate_rows": ("Exposé",)},
        codes=("lines_above_header", "encoding"),
        separator=";",
        encoding="cp1252",
        above="Makler GmbH;;;;;;;;\r\nStand: 01.07.2024;;;;;;;;\r\n;;;;;;;;\r\n",
    )  # fmt: skip


def _german(number: float, decimals: int = 2) -> str:
    """Return a number with a decimal comma, and points between thousands."""
    return f"{number:,.{decimals}f}".translate(str.maketrans(",.", ".,"))


@_case
def branches_by_week(draw: np.random.Generator) -> Case:
    """Weeks of ISO 8601 by branch, doubled names, and a status that is known when it is over."""
    weeks = pd.date_range("2022-01-03", periods=60, freq="W-MON").strftime("%G-W%V")
    n = 60 * 20
    branch = np.tile(np.arange(20), 60)
    sales = (20_000 + branch * 300 + draw.normal(0, 1_500, n)).round(2)
    paid = np.where(sales > 23_000, draw.uniform(1, 9, n).round(1).astype(str), "")
    frame = pd.DataFrame(
        {
            "week": np.repeat(weeks, 20),
            "Filialnr": [f"{each + 1:04d}" for each in branch],
            "promo": draw.choice(["x", ""], n, p=[0.2, 0.8]),
            "opens": draw.choice(["7:00 AM", "8:30 AM", "10:00 AM"], n),
            "staff": draw.integers(3, 20, n),
            "bonus paid": paid,
            "level": pd.cut(sales, 4, labels=["low", "fair", "good", "top"]),
            "guess": (sales + draw.normal(0, 900, n)).round(),
            "sales": [f"${each:,.2f}" for each in sales],
        }
    )
    return Case(
        frame.rename(columns={"opens": "staff"}),
        "sales",
        {
            "week": "time", "Filialnr": "category|id", "promo": "yes_no|category", "staff": "time",
            "staff_2": "number", "bonus paid": "number", "level": "category", "guess": "number",
            "sales": "number",
        },
        {"repeated_entities": ("Filialnr",), "leak_suspected": ("bonus paid",),
         "target_copy": ("level",)},
        ("guess",),
        codes=("column_twice",),
    )  # fmt: skip


@_case
def second_by_second(draw: np.random.Generator) -> Case:
    """One row a second, counted from 1970, with units below the header and 9999 for no value."""
    n = 3_000
    load = draw.uniform(0, 100, n).round(1)
    rows = pd.DataFrame(
        {
            "t": 1_717_200_000_000 + np.arange(n) * 1_000,
            "load": load,
            "oil": np.where(draw.random(n) < 0.04, 9999, draw.normal(60, 2, n).round(1)),
            "mode": draw.choice(["auto", "hand"], n),
            "power": (load * 0.4 + draw.normal(0, 1, n)).round(2),
        }
    )
    rows["power [W]"] = (rows.power * 1_000).round()
    units = pd.DataFrame([["ms", "%", "°C", "-", "kW", "W"]], columns=rows.columns)
    return Case(
        pd.concat([units, rows]),
        "power",
        {
            "t": "time", "load": "number", "oil": "number", "mode": "category", "power": "number",
            "power [W]": "number",
        },
        {"target_copy": ("power [W]",), "sentinel": ("oil",)},
        codes=("units_row",),
    )  # fmt: skip


def _times(draw: np.random.Generator, n: int, start: str, form: str) -> list[str]:
    """Return times of two years in their order."""
    begin = dt.datetime.fromisoformat(start)
    seconds = np.sort(draw.integers(0, 2 * 365 * 86_400, n))
    return [(begin + dt.timedelta(seconds=int(each))).strftime(form) for each in seconds]


def _sentence(draw: np.random.Generator) -> str:
    words = ["please", "leave", "at", "door", "gift", "fragile", "call", "before", "and", "ring"]
    return " ".join(draw.choice(words, draw.integers(4, 12))) + f" {draw.integers(0, 999)}"
