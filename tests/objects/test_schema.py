"""Every node of a stored tree is looked at, and counted, before skops makes anything of it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from tests.objects.crafted import file_of, node, plain, sequence

from model_loop.errors import StoredObjectError
from model_loop.objects import schema as checked
from model_loop.objects.schema import nodes, read_schema, refuse_unknown_classes

ROWS = np.random.default_rng(0).uniform(0, 1, (40, 3))
MINUTES = ROWS @ [1.0, 2.0, 3.0]

Tree = dict[str, Any]
TAKES_FUNCTIONS = ("FunctionTransformer", "TransformedTargetRegressor")
#: Of every kind of node that estimators are stored by.
MODELS = {
    "histograms": HistGradientBoostingRegressor(max_iter=1, max_leaf_nodes=3),
    "boosting": GradientBoostingRegressor(n_estimators=1, max_depth=1, random_state=3),
    "search": KNeighborsRegressor(algorithm="kd_tree"),
    "ball search": KNeighborsRegressor(algorithm="ball_tree"),
    "network": MLPRegressor(
        hidden_layer_sizes=(2,), max_iter=2, random_state=np.random.RandomState(1)
    ),
    "pipeline": Pipeline(
        [
            ("columns", ColumnTransformer([("scaled", StandardScaler(), slice(0, 2))])),
            ("estimate", LinearRegression()),
        ]
    ),
    "target": TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
    "generator": FunctionTransformer(np.tanh, np.arctanh),
}


@pytest.fixture(scope="module", params=MODELS)
def tree(request: pytest.FixtureRequest) -> Tree:
    """The tree of a model's file."""
    model = MODELS[request.param]
    with np.errstate(all="ignore"):
        model.fit(ROWS, MINUTES)
    if request.param == "generator":
        model.random_ = np.random.default_rng(4)
        model.deep_ = {"a": [(1, "[x"), {"b"}, b"c", slice(1), np.float32, np.array([None, 2])]}
    found = tree_of(skops.io.dumps(model))
    # Each node is one of its own, so that one can be changed without another.
    for number, one in enumerate(named(found), 1):
        one["__id__"] = number
        if "file" in one:
            one["file"] = f"{number}.npy"
    return found


def tree_of(stored: bytes) -> Tree:
    """Return the tree of a file."""
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        found: Tree = json.loads(archive.read("schema.json"))
    return found


def refusal(tree: Tree) -> str:
    """Return why a tree is refused; an empty text where it is not."""
    try:
        refuse_unknown_classes(file_of(tree))
    except StoredObjectError as error:
        return f"{error.given} {error.rule}"
    return ""


def named(tree: Tree) -> Iterator[Tree]:
    """Yield every node that names something."""
    return (one for one in nodes(tree) if "__loader__" in one)


@pytest.mark.filterwarnings("ignore")
def test_a_foreign_name_is_found_wherever_it_stands(tree: Tree) -> None:
    """One node after another names a process: all are looked at, and the name is told."""
    assert refusal(tree) == ""
    places = list(named(tree))
    assert places
    for one in places:
        was = dict(one)
        one |= {"__module__": "subprocess", "__class__": "Popen"}
        assert re.search("not trusted: .*subprocess.Popen", refusal(tree)), was
        one.clear()
        one.update(was)
    assert refusal(tree) == ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tree", ["generator", "target", "boosting"], indirect=True)
def test_a_function_stands_only_where_one_is_called(tree: Tree) -> None:
    """NumPy's own functions are allowed as the function of a step, and as nothing else."""
    allowed = []
    for one in list(named(tree)):
        was = dict(one)
        one.clear()
        one.update(node("FunctionNode", "numpy.sqrt", content=was.get("content")))
        found = refusal(tree)
        allowed += [] if found else [was["__id__"]]
        one.clear()
        one.update(was)
    steps = [one["content"] for one in named(tree) if one["__class__"] in TAKES_FUNCTIONS]
    functions = [one["content"][name] for one in steps for name in ("func", "inverse_func")]
    # In the place of a step's state, skops itself takes a function for damaged.
    assert sorted(allowed) == sorted(one["__id__"] for one in (*steps, *functions))


def test_all_that_is_foreign_is_told() -> None:
    """Sorted, each once, and what kind of node it was where that is no kind of an estimator's."""
    tree = sequence(
        "list",
        node("TypeNode", "os.PathLike"),
        node("ReduceNode", "a.b"),
        node("ObjectNode", "os.PathLike"),
    )
    assert refusal(tree).endswith("not trusted: a.b (ReduceNode), os.PathLike")
    assert refusal(sequence("list")) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(KeyError"),
        (b"{", r"cannot be read \(JSONDecodeError"),
        (b"\xff", r"cannot be read \(UnicodeDecodeError"),
        (b"[]", "another protocol"),
        (b"{}", "another protocol"),
        (b'{"protocol": 0}', "another protocol"),
        (b"[" * 100_000, r"cannot be read \(RecursionError"),
    ],
)
def test_what_is_no_tree_is_refused(content: bytes | None, message: str) -> None:
    """No file, no JSON, no mapping, or one of another version."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json" if content is not None else "other", content or b"")
    with zipfile.ZipFile(buffer) as archive, pytest.raises(StoredObjectError, match=message):
        read_schema(archive)


def test_marks_are_counted_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brackets and commas of all kinds together: as many as there may be, and one less."""
    stored = file_of(sequence("list", plain(1), plain(2)))
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        text = archive.read("schema.json")
        marks = sum(text.count(one) for one in (b"{", b"[", b","))
        assert all(text.count(one) for one in (b"{", b"[", b","))
        monkeypatch.setattr(checked, "_MARKS", marks)
        assert read_schema(archive) == json.loads(text)
        monkeypatch.setattr(checked, "_MARKS", marks - 1)
        with pytest.raises(StoredObjectError, match="too many nodes"):
            read_schema(archive)


def test_nodes_and_levels_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that stands twice is there twice, and no level more than there may be."""
    again = plain("same") | {"__id__": 7}
    tree = sequence("list", again, again, sequence("tuple", sequence("list", plain(1))))
    monkeypatch.setattr(checked, "_NODES", 6)
    monkeypatch.setattr(checked, "_DEPTH", 3)
    assert refusal(tree) == ""
    for name, less in (("_NODES", 5), ("_DEPTH", 2)):
        with monkeypatch.context() as limit:
            limit.setattr(checked, name, less)
            assert "too many nodes" in refusal(tree)


@pytest.mark.parametrize("number", ["1", 1.0, True, [1]])
def test_a_number_of_a_node_is_a_number(number: object) -> None:
    """Others would be equal to one, and be another node to skops."""
    assert "a node whose number is none" in refusal(plain(1) | {"__id__": number})


def test_nodes_with_one_number_are_one_node() -> None:
    """They may stand in two places, and differ in nothing: skops takes the first for both."""
    key = sequence("list", node("TypeNode", "builtins.str"))
    mapping = {"key_types": key, "content": {"a": plain(1)}}
    one = {
        "plain": plain(1),
        "empty": plain(""),
        "loader": node("ListNode", "builtins.list", content=[]),
        "list": sequence("list", plain(1)),
        "mapping": node("DictNode", "builtins.dict", **mapping),
        "type": node("TypeNode", "numpy.int8"),
        "array": node("NdArrayNode", "numpy.ndarray", type="json", content=[], shape=plain("3")),
    }
    other = {
        "plain": plain(2),
        "empty": plain(" "),
        "loader": node("TupleNode", "builtins.tuple", content=[]),
        "list": sequence("list", plain(2)),
        "mapping": one["mapping"] | {"content": {"b": plain(1)}},
        "type": node("TypeNode", "numpy.int16"),
        "array": one["array"] | {"type": "numpy"},
    }
    for name, first in one.items():
        numbered, changed = (it | {"__id__": 5} for it in (first, other[name]))
        assert refusal(sequence("list", numbered, numbered)) == "", name
        assert "two nodes with one number" in refusal(sequence("list", numbered, changed)), name
        # Without a number, or with another one, they are two.
        assert refusal(sequence("list", first, other[name])) == "", name
        assert refusal(sequence("list", numbered, changed | {"__id__": 6})) == "", name


def test_a_member_is_read_by_one_node() -> None:
    """Two that read it would take its memory twice, and one without a number may stand anywhere."""
    reader = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy")
    first, second = reader | {"__id__": 1}, reader | {"__id__": 2}
    assert refusal(sequence("list", first, first, second | {"file": "b.npy"})) == ""
    for tree in (sequence("list", first, second), sequence("list", reader), reader | {"__id__": 0}):
        assert "a member that is read more than once" in refusal(tree)


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', "  [", "\n{"])
def test_plain_values_are_plain(text: str) -> None:
    """A list or a mapping in their place would be nodes that nobody has looked at."""
    assert "in place of a plain value" in refusal(plain(None) | {"content": text})
    assert refusal(plain(None) | {"content": f'"{text.strip()[0]}"'}) == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("bit_generator", "content", "bit_generator"), '"MT19937"'),
        (("seed_seq", "content", "pool_size"), "1000000000"),
    ],
)
def test_generators_are_scikit_learns(path: tuple[str, ...], value: str) -> None:
    """Another kind, or another size of what it is made from, takes the memory that it says."""
    model = FunctionTransformer()
    model.random_ = np.random.default_rng(4)
    tree = tree_of(skops.io.dumps(model))
    assert refusal(tree) == ""
    (generator,) = (one for one in named(tree) if one["__loader__"] == "RandomGeneratorNode")
    place = generator["content"]
    for name in path:
        place = place[name]
    place["content"] = value
    assert "another generator of random numbers" in refusal(tree)


@pytest.mark.parametrize("outputs", ["0", "2", "1.0", "100"])
def test_a_tree_has_one_output(outputs: str) -> None:
    """It makes room for all of them."""
    tree = tree_of(skops.io.dumps(DecisionTreeRegressor(max_depth=1).fit(ROWS, MINUTES)))
    (made,) = (one for one in named(tree) if one["__loader__"] == "TreeNode")
    arguments = made["__reduce__"]["args"]["content"]
    arguments[2]["content"] = outputs
    assert "a tree of more than one number" in refusal(tree)
    arguments[2]["content"] = "1"
    assert refusal(tree) == ""
    # Of arguments that are not there, or others, nothing is known.
    for wrong in ([*arguments, plain(1)], arguments[:2], [sequence("list"), *arguments[1:]]):
        made["__reduce__"]["args"]["content"] = wrong
        assert "a tree of more than one number" in refusal(tree)
    made["__reduce__"]["args"] = None
    assert "a tree of more than one number" in refusal(tree)


@pytest.mark.parametrize("name", ["KDTree", "BallTree", "EuclideanDistance64"])
def test_states_that_machine_code_takes_apart(name: str) -> None:
    """Each part is of its kind, and there are as many as there should be."""
    kind = "ball_tree" if name == "BallTree" else "kd_tree"
    tree = tree_of(skops.io.dumps(KNeighborsRegressor(algorithm=kind).fit(ROWS, MINUTES)))
    (found,) = (one for one in named(tree) if one["__class__"] == name)
    state = found["content"]
    parts = list(state["content"])
    for place, part in enumerate(parts):
        wrong = [*parts]
        wrong[place] = sequence("list") if part["__loader__"] != "ListNode" else plain(1)
        for content in (wrong, parts[:place], [*parts, part]):
            state["content"] = content
            assert f"a {name} in another state" in refusal(tree), place
    state["content"] = parts
    assert refusal(tree) == ""
    state["__loader__"], state["__class__"] = "ListNode", "list"
    assert "in another state" in refusal(tree)
    found["content"] = None
    assert "in another state" in refusal(tree)


def test_what_lacks_a_part_is_incomplete() -> None:
    """A node without its parts is refused with our own error."""
    trees: list[Tree] = [node("ListNode", "builtins.list"), {"__loader__": "ListNode"}, {"a": []}]
    for tree in trees:
        assert "is incomplete (KeyError" in refusal(tree)


def test_nodes_come_in_the_order_of_the_file() -> None:
    """Every JSON object, those within lists and mappings too, each before what is in it."""
    tree: Tree = {"n": 1, "a": [{"n": 2, "b": {"n": 3}}, [{"n": 4}], 5], "c": {"n": 6}}
    assert [one["n"] for one in nodes(tree)] == [1, 2, 3, 4, 6]
    assert list(nodes("text")) == list(nodes(None)) == []
