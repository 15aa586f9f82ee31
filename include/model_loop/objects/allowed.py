"""Names of what a stored estimator may be made of, by the kind of node that names it.

Whole names alone: below the name of a package is also all that its modules import, such as the
functions that start processes. The machine code of each class was read, and `rules` checks its
inputs; to allow a further one, look there first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from skops.io._trusted_types import NUMPY_UFUNC_TYPE_NAMES, SCIPY_UFUNC_TYPE_NAMES

#: Classes that skops does not trust by itself and that estimators are made of: this package's few,
#: and parts of scikit-learn's regressors and classifiers.
TRUSTED = frozenset(
    {
        "model_loop.models.boosting.BoosterClassifier",
        "model_loop.models.boosting.BoosterRegressor",
        "model_loop.models.selection.ColumnSelector",
        "trip_duration.training_set.encoders.dense.DenseTripEncoder",
        "trip_duration.training_set.encoders.one_hot.OneHotTripEncoder",
        # Their names before 0.2, in models that are stored.
        "trip_duration.models.boosting.BoosterRegressor",
        "trip_duration.models.selection.ColumnSelector",
        "numpy.dtype",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
    }
)

#: Classes of those that skops trusts, by module: predictors, transformers, and their parts.
_SCIKIT_LEARN = """
_loss.link: IdentityLink Interval LogitLink LogLink MultinomialLogit
_loss.loss: AbsoluteError HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss HalfPoissonLoss
_loss.loss: HalfSquaredError HuberLoss PinballLoss
calibration: CalibratedClassifierCV
compose._column_transformer: ColumnTransformer
compose._target: TransformedTargetRegressor
cross_decomposition._pls: PLSRegression
decomposition._pca: PCA
decomposition._truncated_svd: TruncatedSVD
discriminant_analysis: LinearDiscriminantAnalysis
dummy: DummyClassifier DummyRegressor
ensemble._bagging: BaggingRegressor
ensemble._forest: ExtraTreesClassifier ExtraTreesRegressor
ensemble._forest: RandomForestClassifier RandomForestRegressor
ensemble._gb: GradientBoostingClassifier GradientBoostingRegressor
ensemble._hist_gradient_boosting.binning: _BinMapper
ensemble._hist_gradient_boosting.gradient_boosting: HistGradientBoostingClassifier
ensemble._hist_gradient_boosting.gradient_boosting: HistGradientBoostingRegressor
ensemble._stacking: StackingRegressor
ensemble._voting: VotingClassifier VotingRegressor
ensemble._weight_boosting: AdaBoostRegressor
feature_selection._variance_threshold: VarianceThreshold
frozen._frozen: FrozenEstimator
impute._base: MissingIndicator SimpleImputer
isotonic: IsotonicRegression
kernel_ridge: KernelRidge
linear_model._base: LinearRegression
linear_model._bayes: ARDRegression BayesianRidge
linear_model._coordinate_descent: ElasticNet ElasticNetCV Lasso LassoCV
linear_model._glm.glm: GammaRegressor PoissonRegressor TweedieRegressor
linear_model._huber: HuberRegressor
linear_model._least_angle: Lars LarsCV LassoLars LassoLarsCV LassoLarsIC
linear_model._logistic: LogisticRegression LogisticRegressionCV
linear_model._omp: OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV
linear_model._passive_aggressive: PassiveAggressiveRegressor
linear_model._quantile: QuantileRegressor
linear_model._ransac: RANSACRegressor
linear_model._ridge: Ridge RidgeCV
linear_model._stochastic_gradient: SGDRegressor
linear_model._theil_sen: TheilSenRegressor
model_selection._classification_threshold: FixedThresholdClassifier
naive_bayes: BernoulliNB GaussianNB
neighbors._regression: KNeighborsRegressor RadiusNeighborsRegressor
neural_network._multilayer_perceptron: MLPClassifier MLPRegressor
pipeline: FeatureUnion Pipeline
preprocessing._data: Binarizer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer
preprocessing._data: QuantileTransformer RobustScaler StandardScaler
preprocessing._discretization: KBinsDiscretizer
preprocessing._encoders: OneHotEncoder OrdinalEncoder
preprocessing._function_transformer: FunctionTransformer
preprocessing._label: LabelBinarizer LabelEncoder
preprocessing._polynomial: PolynomialFeatures
preprocessing._target_encoder: TargetEncoder
svm._classes: LinearSVC LinearSVR NuSVR SVR
tree._classes: DecisionTreeClassifier DecisionTreeRegressor
tree._classes: ExtraTreeClassifier ExtraTreeRegressor
"""
_LOSSES = (
    "CyAbsoluteError CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss "
    "CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss"
)
_NUMBERS = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "str_"),
)


def _names(lines: str) -> frozenset[str]:
    found = (line.partition(": ") for line in lines.strip().splitlines())
    return frozenset(
        f"sklearn.{module}.{name}" for module, _, names in found for name in names.split()
    )


CLASSES = TRUSTED - {"numpy.dtype", "sklearn.tree._tree.Tree"} | _names(_SCIKIT_LEARN)
FUNCTIONS = frozenset({*NUMPY_UFUNC_TYPE_NAMES, *SCIPY_UFUNC_TYPE_NAMES})
#: Attributes that may hold a function, and the classes that have them.
FUNCTION_ATTRIBUTES = frozenset({"func", "inverse_func"})
TAKES_FUNCTIONS = frozenset(
    {
        "sklearn.compose._target.TransformedTargetRegressor",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
    }
)

_SEARCH_TREE = (*("NdArrayNode",) * 4, *("JsonNode",) * 7, "ObjectNode", "NdArrayNode | JsonNode")
#: Kinds of the nodes of a state that machine code takes apart without a look, while it is read.
STATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sklearn.metrics._dist_metrics.EuclideanDistance64": (
            "JsonNode",
            "NdArrayNode",
            "NdArrayNode",
        ),
        "sklearn.neighbors._ball_tree.BallTree": _SEARCH_TREE,
        "sklearn.neighbors._kd_tree.KDTree": _SEARCH_TREE,
    }
)

#: Names that each kind of node may hold; others call functions, or read what nobody asked for.
LOADERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "BytesNode": frozenset({"builtins.bytes"}),
        "DictNode": frozenset({"builtins.dict"}),
        "DTypeNode": frozenset({"numpy.dtype"}),
        "JsonNode": frozenset({"builtins.str"}),
        "ListNode": frozenset({"builtins.list"}),
        "LossNode": _names(f"_loss._loss: {_LOSSES}"),
        "NdArrayNode": frozenset({"numpy.ndarray", *(f"numpy.{name}" for name in _NUMBERS)}),
        "ObjectNode": CLASSES,
        "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
        "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
        "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
        "TupleNode": frozenset({"builtins.tuple"}),
        "SetNode": frozenset({"builtins.set"}),
        "SliceNode": frozenset({"builtins.slice"}),
        "TypeNode": frozenset(
            {
                *("builtins.bool", "builtins.float", "builtins.int", "builtins.str"),
                *(f"numpy.{name}" for name in _NUMBERS),
            }
        ),
    }
)
