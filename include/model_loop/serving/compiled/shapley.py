"""SHAP values of flat estimators, by array arithmetic and without the libraries that made them.

For trees they are those of TreeSHAP with the path-dependent background (Lundberg et al., 2020). In
the game of one leaf, a column that is known gives the factor 1 or 0 (the row follows its splits, or
does not), and an unknown one gives the share of the train rows that follow them. Such a product has
the Shapley values ∫ (known - share) ∏ others ((1 - t) share + t known) dt from 0 to 1 (Owen, 1972):
a polynomial, which Gauss and Legendre's quadrature integrates without error. The products of all
leaves below a node are summed at the node once, as in Linear TreeSHAP (Yu et al., 2022), so that
the cost is nodes times points, not leaves times squared depth.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model_loop.serving.compiled.flat import Linear, Trees

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
Covers = npt.NDArray[np.float32]
"""Weight of the train rows that come to each node of trees, shape (nodes,)."""

#: Nodes whose numbers are worked on at once: they stay in the processor's cache.
_TOGETHER = 16_000
#: Least share of the rows of a node that a child counts as having: no product becomes 0.
_LEAST_SHARE = 1e-12


def points_of(columns: int) -> int:
    """Return how many points integrate the product of so many columns without error."""
    # The degree is one less than the columns, and less than twice the points.
    return max((columns + 1) // 2, 1)


class Shapley(Protocol):
    """SHAP values of an estimator.

    Attributes
    ----------
    base
        Prediction where no column is known: contributions are added to it.
    cost
        Numbers that are computed for one row.
    """

    base: float
    cost: int

    def of(self, row: _Floats, /) -> _Floats:
        """Return what each column of a design row adds, shape (columns,)."""


def shapley_of(flat: Trees | Linear, covers: Covers) -> Shapley:
    """Return what computes the SHAP values of a flat estimator.

    Parameters
    ----------
    covers
        Those of the nodes, of trees.
    """
    return LinearShapley(flat) if isinstance(flat, Linear) else TreesShapley(flat, covers)


class LinearShapley:
    """Exact contributions to a linear model: weight times value, added to the intercept."""

    def __init__(self, linear: Linear) -> None:
        self._weights, self.base, self.cost = linear.weights, linear.base, len(linear.weights)

    def of(self, row: _Floats) -> _Floats:
        """Return what each column of a design row adds, shape (columns,)."""
        return self._weights * row


class TreesShapley:
    """SHAP values of trees, a few trees at a time."""

    def __init__(self, trees: Trees, covers: Covers) -> None:
        self._groups = [_Group(part, covers[first:last]) for part, first, last in _cut(trees)]
        self._scale = trees.scale
        self.base = trees.base + trees.scale * sum(group.base for group in self._groups)
        self.cost = sum(group.cost for group in self._groups)

    def of(self, row: _Floats) -> _Floats:
        """Return what each column of a design row adds, shape (columns,)."""
        single, added = row.astype(np.float32), np.zeros(len(row))
        for group in self._groups:
            added += group.of(single)
        return self._scale * added


def _cut(trees: Trees) -> Iterator[tuple[Trees, int, int]]:
    """Yield successive trees, with their first node and the one behind their last."""
    ends = [*trees.roots[1:].tolist(), len(trees.nodes)]
    first = begun = 0
    for number, end in enumerate(ends):
        following = ends[number + 1] if number + 1 < len(ends) else None
        if following is not None and following - first <= _TOGETHER:
            continue
        nodes = trees.nodes[first:end].copy()
        nodes["left"] -= first
        roots = trees.roots[begun : number + 1] - first
        yield trees._replace(nodes=nodes, values=trees.values[first:end], roots=roots), first, end
        first, begun = end, number + 1


class _Group:
    """Some trees, their nodes ordered by depth, brothers side by side.

    A node represents the split that leads to it: `columns` and the comparison are those of its
    parent. Where a path splits by a column again, the deeper node represents both splits, and
    `earlier` is the node of the split before it.
    """

    def __init__(self, trees: Trees, covers: Covers) -> None:
        left = trees.nodes["left"].astype(np.int64)
        levels = [trees.roots.astype(np.int64)]
        while len(inner := levels[-1][left[levels[-1]] != levels[-1]]):
            levels.append(np.column_stack([left[inner], left[inner] + 1]).ravel())
        order = np.concatenate(levels)
        bounds = np.cumsum([len(level) for level in levels]).tolist()
        count, roots = len(order), bounds[0]
        place = np.empty(len(left), dtype=np.int64)
        place[order] = np.arange(count)
        inner = np.flatnonzero(left[order] != order)
        children = place[left[order[inner]]]
        parent = np.zeros(count, dtype=np.int64)
        parent[children] = parent[children + 1] = inner
        feature = trees.nodes["feature"][order]
        self._inner, self._roots = inner, roots
        self._tested = np.where(feature < 0, ~feature, feature)[inner]
        self._missing_left = (feature < 0)[inner]
        self._threshold = trees.nodes["threshold"][order][inner]
        self._children, self._parent = children, parent
        self._columns = np.zeros(count, dtype=np.int64)
        self._columns[children] = self._columns[children + 1] = self._tested
        self._levels = [slice(*pair) for pair in itertools.pairwise(bounds)]
        earlier = _earlier(self._columns, parent, roots)
        self._again = [
            level.start + np.flatnonzero(earlier[level] >= 0)
            for level in self._levels
            if (earlier[level] >= 0).any()
        ]
        self._repeated = np.concatenate([*self._again, np.zeros(0, dtype=np.int64)])
        self._earlier = earlier
        cover = covers[order].astype(np.float64)
        share, product = np.ones(count), np.ones(count)
        share[roots:] = np.maximum(cover[roots:] / cover[parent[roots:]], _LEAST_SHARE)
        different = np.zeros(count, dtype=np.int64)
        for level in self._levels:
            product[level] = product[parent[level]] * share[level]
            different[level] = different[parent[level]] + (earlier[level] < 0)
        for again in self._again:
            share[again] *= share[earlier[again]]
        self._share = share
        self._leaves = trees.values[order]
        self._leaves[inner] = 0.0
        points, weights = np.polynomial.legendre.leggauss(points_of(int(different.max())))
        self._points, self._weights = ((points + 1) / 2)[:, np.newaxis], weights / 2
        self.base = float(product @ self._leaves)
        self.cost = count * len(weights)

    def of(self, row: npt.NDArray[np.float32]) -> _Floats:
        """Return what each column of a design row adds to the sum of the leaves."""
        value = row[self._tested]
        # Written so that what is missing goes to its side.
        right = np.where(self._missing_left, value > self._threshold, ~(value <= self._threshold))
        known = np.ones(len(self._share))
        known[self._children], known[self._children + 1] = ~right, right
        for again in self._again:
            known[again] *= known[self._earlier[again]]
        difference, repeated = known - self._share, self._repeated
        step = self._points * difference
        step += self._share
        change = difference / step
        before = self._earlier[repeated]
        step[:, repeated] /= step[:, before]
        change[:, repeated] -= change[:, before]
        below = np.ones_like(step)
        for level in self._levels:
            np.multiply(below[:, self._parent[level]], step[:, level], out=below[:, level])
        below *= self._leaves
        for level in reversed(self._levels):
            left = below[:, level.start : level.stop : 2]
            right_ones = below[:, level.start + 1 : level.stop : 2]
            below[:, self._parent[level.start : level.stop : 2]] += left + right_ones
        below *= change
        added = np.einsum("q,qn->n", self._weights, below)
        columns = self._columns[self._roots :]
        by_column = np.bincount(columns, added[self._roots :], minlength=len(row))
        return np.asarray(by_column, dtype=np.float64)


def _earlier(columns: _Ints, parent: _Ints, roots: int) -> _Ints:
    """Return the deepest node above each one whose split is by the same column; -1 for none."""
    found = np.full(len(columns), -1, dtype=np.int64)
    waiting = np.arange(roots, len(columns))
    above = parent[waiting]
    while len(waiting):
        split = above >= roots
        waiting, above = waiting[split], above[split]
        same = columns[above] == columns[waiting]
        found[waiting[same]] = above[same]
        waiting, above = waiting[~same], parent[above[~same]]
    return found
