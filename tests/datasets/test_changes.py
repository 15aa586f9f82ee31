"""Changes of a declaration: what each of them invalidates."""

from __future__ import annotations

import pytest

from model_loop.datasets.changes import Effect, changes_between, digest_of, effect_of
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration

BEFORE = """
name = "orders"
source = "orders.csv"
target = "amount"
[columns.quantity]
type = "number"
known = "request"
[columns."unit.price"]
type = "number"
[[rules]]
name = "free"
when = "quantity == 0"
"""


def read(text: str) -> Declaration:
    """Read a declaration."""
    return parse_declaration(text, "orders.toml")


@pytest.mark.parametrize(
    ("old", "new", "key", "effect"),
    [
        ('name = "orders"', 'name = "orders"\ntitle = "Orders"', "title", Effect.NOTHING),
        ('"orders.csv"', '"s3://bucket/orders.csv"', "source", Effect.NOTHING),
        (
            "[columns.quantity]",
            '[columns.quantity]\ndescription = "pieces"',
            "columns.quantity.description",
            Effect.NOTHING,
        ),
        ("quantity == 0", "quantity <= 0", "rules.free.when", Effect.TRAINING_SET),
        (
            "[columns.quantity]",
            "[columns.quantity]\nmissing_values = [-1]",
            "columns.quantity.missing_values",
            Effect.TRAINING_SET,
        ),
        (
            'target = "amount"',
            'target = "amount"\nmissing_values = [-1]',
            "missing_values",
            Effect.TRAINING_SET,
        ),
        ('known = "request"', 'known = "later"', "columns.quantity.known", Effect.CONTRACT),
        ('target = "amount"', 'target = "quantity"', "target", Effect.CONTRACT),
        (
            '[columns."unit.price"]\ntype = "number"',
            "",
            'columns."unit.price".type',
            Effect.CONTRACT,
        ),
        ("[[rules]]", '[task]\nunit = "EUR"\n[[rules]]', "task.unit", Effect.CONTRACT),
    ],
)
def test_a_change_says_what_it_invalidates(old: str, new: str, key: str, effect: Effect) -> None:
    """Words for people change nothing, values the training set, requests and answers the model."""
    assert old in BEFORE
    before, after = read(BEFORE), read(BEFORE.replace(old, new, 1))
    (change,) = changes_between(before, after)
    assert (change.key, change.effect) == (key, effect)
    assert effect_of((change,)) == effect
    assert (digest_of(before) == digest_of(after)) is (effect == Effect.NOTHING)


@pytest.mark.parametrize(
    ("old", "new", "key", "effect"),
    [
        ("threshold = 0.3", "threshold = 0.4", "task.threshold", Effect.TRAINING_SET),
        ("threshold = 0.3\n", "", "task.threshold", Effect.TRAINING_SET),
        ('positive_class = "yes"', 'positive_class = "no"', "task.positive_class", Effect.CONTRACT),
        ("threshold", 'classes = ["yes", "no"]\nthreshold', "task.classes", Effect.CONTRACT),
        ("[columns.shop]", "[columns.shop]\ngroup_report = true",
         "columns.shop.group_report", Effect.NOTHING),
    ],
)  # fmt: skip
def test_a_change_of_classes_says_what_it_invalidates(
    old: str, new: str, key: str, effect: Effect
) -> None:
    """Another threshold is of the next model, another positive class of other answers."""
    before = (
        'name = "orders"\nsource = "orders.csv"\ntarget = "y"\n[task]\nkind = "binary"\n'
        'positive_class = "yes"\nthreshold = 0.3\n[columns.shop]\ntype = "category"\n'
    )
    assert old in before
    (change,) = changes_between(read(before), read(before.replace(old, new, 1)))
    assert (change.key, change.effect) == (key, effect)


def test_what_mistakes_cost_is_of_the_next_model() -> None:
    """Each of the two costs."""
    before = (
        'name = "orders"\nsource = "orders.csv"\ntarget = "y"\n[task]\nkind = "binary"\n'
        'positive_class = "yes"\ncost = {false_alarm = 1, miss = 5}\n'
    )
    (change,) = changes_between(read(before), read(before.replace("miss = 5", "miss = 6")))
    assert (change.key, change.effect) == ("task.cost.miss", Effect.TRAINING_SET)


def test_the_gravest_change_comes_first() -> None:
    """The effect of several is that of the gravest."""
    after = BEFORE.replace("quantity == 0", "quantity < 0").replace('"request"', '"later"')
    changes = changes_between(read(BEFORE), read('title = "Orders"\n' + after))
    assert [change.effect for change in changes] == [
        Effect.CONTRACT,
        Effect.TRAINING_SET,
        Effect.NOTHING,
    ]
    assert effect_of(changes).text == "the champion's contract"
    assert changes[0].to_json()["effect"] == "the champion's contract"


def test_equal_declarations_have_no_change() -> None:
    """The order of keys, comments and the place of a rule are no difference."""
    table, rest = BEFORE.split("[columns.quantity]")
    other = f"{table}# A comment.\n[columns.quantity]{rest}"
    assert changes_between(read(BEFORE), read(other)) == ()
    assert effect_of(()) == Effect.NOTHING


def test_a_column_without_a_key_is_declared_all_the_same() -> None:
    """Such a table of the file is no difference to nothing at all."""
    (change,) = changes_between(read(BEFORE), read(BEFORE + "[columns.note]\n"))
    assert change.key == "columns.note"
