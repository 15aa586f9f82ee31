"""Charts of a classifier, by the numbers of its run: how well it distinguishes the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty, Figure
from model_loop.charts.explanations import UNTOLD
from model_loop.charts.formatting import percent, plain
from model_loop.charts.wording import Wording

#: Classes whose cells are labelled one by one; of more, the cells are too small.
_LABELLED = 12
#: The lift of fewer rows is chance.
_LEAST_SHARE, _LEAST_ROWS = 0.01, 30

_Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class _JudgedClassifier:
    """Numbers of a classifier on its test rows, with words for its classes."""

    test: _Numbers
    words: Wording

    @property
    def curves(self) -> Sequence[_Numbers]:
        curves: Sequence[_Numbers] = self.test.get("curves", ())
        return curves

    @property
    def drawn(self) -> Sequence[_Numbers]:
        """Curves of classes of which there are test rows, beside rows of other ones."""
        return [curve for curve in self.curves if "area" in curve]

    @property
    def positive(self) -> str | None:
        """The positive class in words; None of several classes."""
        positive = self.test.get("positive")
        return None if positive is None else self.named(positive)

    @property
    def empty(self) -> Empty:
        """Reason why there are no curves."""
        if not self.test:
            return UNTOLD
        names, counts = self.test["classes"], self.test["counts"]
        present = [name for name, count in zip(names, counts, strict=True) if count]
        return Empty(
            f"All {self.test['rows']:,} test {self.words.rows} are of the class "
            f"{' and '.join(present)}: without a second class, nothing can be distinguished."
        )

    @property
    def absent(self) -> str:
        """Sentence that names the classes without curves; empty if all have one."""
        names = [curve["class"] for curve in self.curves if "area" not in curve]
        if not names or not self.drawn:
            return ""
        return f" No test {self.words.row} is of the class {', '.join(names)}."

    @property
    def left_out(self) -> str:
        """Sentence that says how many classes have no curve because there are so many."""
        count = len(self.test.get("classes", ())) - len(self.curves)
        return f" {count} rarer classes are left out." if count else ""

    def named(self, label: str) -> str:
        """Return a class in words, with the target."""
        return f"{self.words.target} = {label}"

    def labelled(self, curve: _Numbers, metric: str) -> str:
        """Return the name of a curve, with its class where there are several."""
        value = f"{curve[metric]:.3f}"
        return value if self.positive else f"{curve['class']} ({value})"


def class_charts(test: _Numbers, words: Wording) -> list[Chart]:
    """Return the charts of a classifier on its test rows; see `class_numbers.class_numbers`."""
    judged = _JudgedClassifier(test, words)
    ranked = [_roc(judged), _precision_recall(judged)]
    if judged.positive is not None or not test:
        return [
            *ranked,
            _confusion_by_threshold(judged),
            _reliability(judged),
            _gains(judged),
            _lift(judged),
            _shares(judged),
            *_shares_by_partition(judged),
            *_slices(judged),
        ]
    return [
        *ranked,
        _confusion(judged),
        _reliability(judged),
        _shares(judged),
        *_shares_by_partition(judged),
        *_slices(judged),
    ]


def _roc(judged: _JudgedClassifier) -> Chart:
    best = max(judged.drawn, key=lambda curve: float(curve["area"]), default=None)
    said = ""
    if best is not None and judged.positive:
        said = (
            f"Of a {judged.words.row} that is {judged.positive} and one that is not, the first has "
            f"the higher probability in {percent(best['area'])} of all pairs (the area under the "
            "curve)."
        )
    elif best is not None:
        said = (
            f"Each class against the others; the area is in brackets.{judged.absent}"
            f"{judged.left_out}"
        )
    return Chart(
        "roc_curve",
        "ROC curve",
        "",
        said,
        _curve_table(judged, "roc", ("false-positive rate", "true-positive rate")),
        judged.empty,
        figures.curves(
            {
                f"area {judged.labelled(curve, 'area')}"
                if judged.positive
                else judged.labelled(curve, "area"): curve["roc"]
                for curve in judged.drawn
            },
            {"by chance": ((0, 1), (0, 1))},
            x_title="false-positive rate",
            y_title="true-positive rate (recall)",
        )
        if judged.drawn
        else None,
        height=380,
    )


def _precision_recall(judged: _JudgedClassifier) -> Chart:
    references: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    said = ""
    if judged.drawn and judged.positive:
        (curve,) = judged.drawn
        share = curve["positives"] / (curve["positives"] + curve["negatives"])
        references = {f"always positive: {percent(share)}": ((0, 1), (share, share))}
        said = (
            f"Average precision {curve['average_precision']:.3f}. {percent(share)} of the test "
            f"{judged.words.rows} are {judged.positive}: a model that knows nothing has that "
            "precision at every recall."
        )
    elif judged.drawn:
        said = (
            "Each class against the others; the average precision is in brackets, and the share of "
            f"each class is its baseline (see the table).{judged.absent}{judged.left_out}"
        )
    return Chart(
        "precision_recall_curve",
        "Precision and recall",
        "",
        said,
        _curve_table(judged, "precision_recall", ("recall", "precision")),
        judged.empty,
        figures.curves(
            {
                f"average precision {judged.labelled(curve, 'average_precision')}"
                if judged.positive
                else judged.labelled(curve, "average_precision"): curve["precision_recall"]
                for curve in judged.drawn
            },
            references,
            x_title="recall",
            y_title="precision",
            steps=True,
        )
        if judged.drawn
        else None,
        height=380,
    )


def _curve_table(judged: _JudgedClassifier, name: str, columns: tuple[str, str]) -> ChartTable:
    rows = [
        (curve["class"], _base_rate(curve), x, y)
        for curve in judged.drawn
        for x, y in zip(*curve[name], strict=True)
    ]
    return ChartTable(("class", "share of the class", *columns), rows)


def _base_rate(curve: _Numbers) -> float:
    return round(float(curve["positives"] / (curve["positives"] + curve["negatives"])), 4)


def _confusion_by_threshold(judged: _JudgedClassifier) -> Chart:
    test, words = judged.test, judged.words
    confusion = test.get("confusion", {})
    thresholds, counts = confusion.get("thresholds", ()), confusion.get("counts", ())
    rows = [
        (threshold, *cells, *map(_rounded, (*_rates(cells), *_cost(cells, test["costs"]))))
        for threshold, cells in zip(thresholds, counts, strict=True)
    ]
    priced = ("cost",) if test.get("costs") else ()
    return Chart(
        "confusion_by_threshold",
        "Confusion matrix by threshold",
        f"test {words.rows}",
        f"The threshold in force is {plain(test['threshold'])}: from this probability on, the "
        f"answer is {judged.positive}{_because(test)}. Move the slider to see other ones."
        if rows
        else "",
        ChartTable(
            (
                *("threshold", "true negatives", "false positives", "false negatives"),
                *("true positives", "precision", "recall", "share called positive", *priced),
            ),
            rows,
        ),
        UNTOLD,
        _with_slider(judged, confusion) if rows else None,
        height=340,
    )


def _because(test: _Numbers) -> str:
    """Return how the threshold was chosen, after a comma; empty where it is not known."""
    reason = test.get("threshold_reason")
    return f", as {reason}" if reason else ""


def _with_slider(judged: _JudgedClassifier, confusion: _Numbers) -> Figure:
    start = confusion["in_force"]
    steps = [
        {
            "value": f"{threshold:.4g}",
            "said": _said(judged, cells, in_force=number == start),
            "z": _row_shares(_square(cells)),
            "text": _cell_texts(_square(cells)),
        }
        for number, (threshold, cells) in enumerate(
            zip(confusion["thresholds"], confusion["counts"], strict=True)
        )
    ]
    return figures.confusion(
        judged.test["classes"],
        _row_shares(_square(confusion["counts"][start])),
        _cell_texts(_square(confusion["counts"][start])),
        slider={"label": "Threshold", "start": start, "marked": "in force", "steps": steps},
    )


def _said(judged: _JudgedClassifier, cells: Sequence[int], *, in_force: bool) -> str:
    """Return what a threshold comes to, in a sentence."""
    precision, recall, called = _rates(cells)
    precise = "nothing is called positive" if precision is None else f"{percent(precision)} of them"
    caught = "" if recall is None else f" {percent(recall)} of the positive ones are caught."
    cost = _cost(cells, judged.test["costs"])
    costs = f" Mean cost {cost[0]:.4g}." if cost and cost[0] is not None else ""
    right = f", {precise} rightly." if precision is not None else f": {precise}."
    force = "In force. " if in_force else ""
    return f"{force}{percent(called or 0.0)} are called positive{right}{caught}{costs}"


def _square(cells: Sequence[int]) -> list[list[int]]:
    true_negative, false_positive, false_negative, true_positive = cells
    return [[true_negative, false_positive], [false_negative, true_positive]]


def _rates(cells: Sequence[int]) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and the share that is called positive."""
    _, alarms, misses, hits = cells
    return (
        _share(hits, hits + alarms),
        _share(hits, hits + misses),
        _share(hits + alarms, sum(cells)),
    )


def _cost(cells: Sequence[int], costs: Sequence[float] | None) -> tuple[float | None, ...]:
    """Return the mean cost of a row; nothing where no costs are declared."""
    if not costs:
        return ()
    _, alarms, misses, _ = cells
    return (_share(costs[0] * alarms + costs[1] * misses, sum(cells)),)


def _share(count: float, of: float) -> float | None:
    return count / of if of else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _row_shares(counts: Sequence[Sequence[int]]) -> list[list[float | None]]:
    return [[_rounded(_share(count, sum(row))) for count in row] for row in counts]


def _cell_texts(counts: Sequence[Sequence[int]]) -> list[list[str]]:
    return [
        [f"{count:,}<br>{percent(count / sum(row))}" if sum(row) else "0" for count in row]
        for row in counts
    ]


def _confusion(judged: _JudgedClassifier) -> Chart:
    names, counts = judged.test["classes"], judged.test["confusion"]["counts"]
    mistakes = [
        (count, actual, predicted)
        for actual, row in zip(names, counts, strict=True)
        for predicted, count in zip(names, row, strict=True)
        if count and actual != predicted
    ]
    right = sum(row[place] for place, row in enumerate(counts)) / max(judged.test["rows"], 1)
    worst = max(mistakes, default=None)
    often = f" Most often mistaken: {worst[1]} for {worst[2]}, {worst[0]:,} times." if worst else ""
    return Chart(
        "confusion",
        "Confusion matrix",
        f"test {judged.words.rows}",
        f"{percent(right)} are predicted rightly: on the diagonal.{often}",
        ChartTable(
            ("actual", *(f"predicted {name}" for name in names)),
            [(name, *row) for name, row in zip(names, counts, strict=True)],
        ),
        UNTOLD,
        figures.confusion(
            names,
            _row_shares(counts),
            _cell_texts(counts) if len(names) <= _LABELLED else None,
        ),
        height=min(max(60 * len(names) + 100, 340), 700),
    )


def _reliability(judged: _JudgedClassifier) -> Chart:
    measured = judged.test.get("reliability", {})
    rows = [
        tuple(each[name] for name in ("class", "predicted", "observed", "low", "high", "rows"))
        for each in measured.get("bins", ())
    ]
    said = ""
    if rows:
        noun = judged.words.rows
        meaning = (
            f"On the line, of 100 {noun} with a probability of 30 %, 30 are {judged.positive}: the "
            "band is where the shares of such probabilities lie by chance."
            if judged.positive
            else "Each class against the others: on the line, probabilities are the shares of what "
            f"happened.{judged.left_out}"
        )
        said = (
            f"{meaning} Expected calibration error {percent(measured['error'])}; of perfect "
            f"probabilities it would be {percent(measured['by_chance'])}."
        )
    return Chart(
        "reliability",
        "Reliability of the probabilities",
        "",
        said,
        ChartTable(
            (
                *("class", "mean probability", "observed share", "by chance from", "to"),
                judged.words.rows,
            ),
            rows,
        ),
        UNTOLD,
        figures.reliability(
            {
                curve["class"]: [row[1:] for row in rows if row[0] == curve["class"]]
                for curve in judged.curves
            },
            x_title=f"probability of {judged.positive or 'the class'}",
            y_title="observed share",
        )
        if rows
        else None,
        height=380,
    )


def _gains(judged: _JudgedClassifier) -> Chart:
    said, share = "", 0.0
    if judged.drawn:
        (curve,) = judged.drawn
        share = _base_rate(curve)
        said = (
            f"Among the tenth of the test {judged.words.rows} with the highest probabilities are "
            f"{percent(_gain_at(curve, 0.1))} of those that are {judged.positive}."
        )
    return Chart(
        "cumulative_gains",
        "Cumulative gains",
        "",
        said,
        _curve_table(judged, "gains", ("share of the rows", "share of the positive ones")),
        judged.empty,
        figures.curves(
            {"by the model": judged.drawn[0]["gains"]},
            {
                "in any order": ((0, 1), (0, 1)),
                "in the best order": ((0, share, 1), (0, 1, 1)),
            },
            x_title=f"share of the {judged.words.rows}, the most probable first",
            y_title="share of the positive ones",
        )
        if judged.drawn
        else None,
        height=380,
    )


def _lift(judged: _JudgedClassifier) -> Chart:
    points: list[tuple[float, float]] = []
    if judged.drawn:
        (curve,) = judged.drawn
        least = max(_LEAST_SHARE, _LEAST_ROWS / judged.test["rows"])
        points = [
            (share, round(gain / share, 4))
            for share, gain in zip(*curve["gains"], strict=True)
            if share >= min(least, 1.0)
        ]
    return Chart(
        "lift",
        "Lift",
        "times the share of all",
        f"How many times as often {judged.positive} is met among the {judged.words.rows} with the "
        "highest probabilities as among all."
        if points
        else "",
        ChartTable(("share of the rows", "lift"), points),
        judged.empty,
        figures.curves(
            {"by the model": ([x for x, _ in points], [y for _, y in points])},
            {"in any order": ((0, 1), (1, 1))},
            x_title=f"share of the {judged.words.rows}, the most probable first",
            y_title="lift",
            shares=False,
        )
        if points
        else None,
        height=380,
    )


def _gain_at(curve: _Numbers, share: float) -> float:
    """Return the share of the positive rows among a share of all rows."""
    pairs = list(zip(*curve["gains"], strict=True))
    before = max((pair for pair in pairs if pair[0] <= share), default=pairs[0])
    after = min((pair for pair in pairs if pair[0] >= share), default=pairs[-1])
    if after[0] == before[0]:
        return float(before[1])
    along = (share - before[0]) / (after[0] - before[0])
    return float(before[1] + along * (after[1] - before[1]))


def _shares(judged: _JudgedClassifier) -> Chart:
    test = judged.test
    names = test.get("classes", ())
    rows = [
        (name, actual, predicted, actual / test["rows"], predicted / test["rows"])
        for name, actual, predicted in zip(
            names, test.get("counts", ()), test.get("predicted_counts", ()), strict=True
        )
    ]
    return Chart(
        "class_shares",
        "Actual and predicted classes",
        f"share of the test {judged.words.rows}",
        "Shares of the classes among what happened, and among what was predicted." if rows else "",
        ChartTable(("class", "actual", "predicted", "actual share", "predicted share"), rows),
        UNTOLD,
        figures.grouped(
            [row[0] for row in rows],
            {
                "actual": [row[3] or 0.0 for row in rows],
                "predicted": [row[4] or 0.0 for row in rows],
            },
            title=f"share of the test {judged.words.rows}",
            form=".0%",
        )
        if rows
        else None,
    )


def _shares_by_partition(judged: _JudgedClassifier) -> list[Chart]:
    """Return the chart of the classes of each partition; none where there are not several."""
    partitions = judged.test.get("partitions", ())
    if len(partitions) <= 1:
        return []
    names, words = judged.test["classes"], judged.words
    codes = (
        [1] if judged.positive else [*map(names.index, (each["class"] for each in judged.curves))]
    )
    rows = [
        (
            each["partition"],
            names[code],
            each["actual"][code] / total,
            each["predicted"][code] / total,
        )
        for code in codes
        for each in partitions
        if (total := sum(each["actual"]))
    ]
    figure = figures.lines(
        {
            f"{kind} {names[code]}": [(row[0], row[place]) for row in rows if row[1] == names[code]]
            for code in codes
            for place, kind in ((2, "actual"), (3, "predicted"))
        },
        title=f"share of the test {words.rows}",
        form=".0%",
        zero=True,
    )
    # A class has a colour, and what was predicted of it is dashed.
    traces = [
        {
            **trace,
            "line": {
                "color": figures.COLORS[number // 2 % len(figures.COLORS)],
                "width": 2,
                "dash": "dash" if number % 2 else "solid",
            },
            "marker": {"size": 6, "color": figures.COLORS[number // 2 % len(figures.COLORS)]},
        }
        for number, trace in enumerate(figure["data"])
    ]
    return [
        Chart(
            "class_shares_by_partition",
            "Actual and predicted classes over time",
            judged.positive or f"share of the test {words.rows}",
            f"Share {f'with {judged.positive}' if judged.positive else 'of each class'} among the "
            f"test {words.rows} of each partition: what happened, and dashed what was predicted.",
            ChartTable(("partition", "class", "actual share", "predicted share"), rows),
            UNTOLD,
            {
                **figure,
                "data": traces,
                "layout": {
                    **figure["layout"],
                    "xaxis": {**figure["layout"]["xaxis"], "type": "category"},
                },
            },
        )
    ]


#: Scores of slices in the order of their columns, with the names that people read.
_SCORES = {
    "log_loss": "log loss",
    "recall": "recall",
    "precision": "precision",
    "accuracy": "accuracy",
    "share": "actual share",
    "bias": "bias",
}


def _slices(judged: _JudgedClassifier) -> list[Chart]:
    slices: dict[str, list[_Numbers]] = {}
    for row in judged.test.get("slices", ()):
        slices.setdefault(row["slice"], []).append(row)
    charts = [_slice(name, rows, judged) for name, rows in slices.items()]
    return charts or [_slice("slice", [], judged)]


def _slice(name: str, slices: Sequence[_Numbers], judged: _JudgedClassifier) -> Chart:
    scores = [score for score in _SCORES if slices and score in slices[0]]
    rows = [(row["value"], row["rows"], *(row[score] for score in scores)) for row in slices]
    worst = max(slices, key=lambda row: row["log_loss"] or 0.0, default=None)
    beside = "Recall and precision are" if "recall" in scores else "Accuracy is"
    return Chart(
        f"scores_by_{name}",
        f"Scores by {name}",
        "log loss",
        f"Log loss on the test {judged.words.rows}, lower is better; worst: {worst['value']}, "
        f"{worst['log_loss']:.3f}. {beside} in the table."
        if worst
        else "",
        ChartTable((name, judged.words.rows, *(_SCORES[score] for score in scores)), rows),
        UNTOLD,
        figures.bars(
            [str(row["value"]) for row in slices],
            [row["log_loss"] for row in slices],
            title="log loss",
        ),
    )
