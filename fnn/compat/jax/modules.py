"""Which module of JAX is answered by which modules of fnn, and the import hook that does it."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

HERE = "fnn.compat.jax"

# A name is looked for in the modules in turn. Those of this package hold what only JAX's programs need.
MODULES: dict[str, tuple[str, ...]] = {
    "jax": (f"{HERE}.top",),
    "jax.numpy": ("fnn.numpy", f"{HERE}.narrow"),
    "jax.numpy.linalg": ("fnn.numpy.linalg",),
    "jax.numpy.fft": ("fnn.numpy.fft",),
    "jax.lax": ("fnn.lax", "fnn.sharding", f"{HERE}.private"),
    "jax.lax.linalg": ("fnn.lax.linalg",),
    "jax.random": ("fnn.random",),
    "jax.nn": ("fnn.nn",),
    "jax.nn.initializers": ("fnn.nn.initializers",),
    "jax.tree": ("fnn.tree",),
    "jax.tree_util": ("fnn.tree_util", f"{HERE}.trees"),
    "jax.flatten_util": ("fnn.flatten_util",),
    "jax.scipy": ("fnn.scipy",),
    "jax.scipy.special": ("fnn.scipy.special",),
    "jax.scipy.linalg": ("fnn.scipy.linalg",),
    "jax.scipy.signal": ("fnn.scipy.signal",),
    "jax.scipy.optimize": ("fnn.scipy.optimize",),
    "jax.scipy.integrate": ("fnn.scipy.integrate",),
    "jax.scipy.interpolate": ("fnn.scipy.interpolate",),
    "jax.scipy.ndimage": ("fnn.scipy.ndimage",),
    "jax.scipy.cluster": ("fnn.scipy.cluster",),
    "jax.scipy.cluster.vq": ("fnn.scipy.cluster.vq",),
    "jax.scipy.fft": ("fnn.scipy.fft",),
    "jax.scipy.sparse": ("fnn.scipy.sparse",),
    "jax.scipy.sparse.linalg": ("fnn.scipy.sparse.linalg",),
    "jax.scipy.spatial": ("fnn.scipy.spatial",),
    "jax.scipy.spatial.transform": ("fnn.scipy.spatial.transform",),
    "jax.scipy.stats": ("fnn.scipy.stats",),
    **{
        f"jax.scipy.stats.{name}": (f"fnn.scipy.stats.{name}",)
        for name in (
            "bernoulli", "beta", "betabinom", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma", "gennorm", "geom",
            "gumbel_l", "gumbel_r", "laplace", "logistic", "multinomial", "multivariate_normal", "nbinom", "norm", "pareto",
            "poisson", "t", "truncnorm", "uniform", "vonmises", "wrapcauchy",
        )
    },
    "jax.image": ("fnn.image",),
    "jax.ops": ("fnn.ops",),
    "jax.debug": ("fnn.debug", f"{HERE}.top"),
    "jax.typing": (f"{HERE}.typing",),
    "jax.errors": (f"{HERE}.errors",),
    "jax.dtypes": (f"{HERE}.dtypes",),
    "jax.core": (f"{HERE}.core", f"{HERE}.primitives", f"{HERE}.trees"),
    "jax.extend": (f"{HERE}.core",),
    "jax.extend.backend": (f"{HERE}.top",),
    "jax.extend.core": (f"{HERE}.core", f"{HERE}.primitives"),
    "jax.extend.core.primitives": (f"{HERE}.private",),
    "jax.extend.linear_util": (f"{HERE}.linear_util",),
    "jax.extend.random": (f"{HERE}.private",),
    "jax.extend.source_info_util": (f"{HERE}.private",),
    "jax.interpreters": (),
    "jax.interpreters.ad": (f"{HERE}.interpreters.ad",),
    "jax.interpreters.batching": (f"{HERE}.interpreters.batching",),
    "jax.interpreters.mlir": (f"{HERE}.interpreters.mlir",),
    "jax.interpreters.partial_eval": (f"{HERE}.interpreters.partial_eval",),
    "jax.interpreters.xla": (f"{HERE}.interpreters.xla", f"{HERE}.trees"),
    "jax.stages": (f"{HERE}.stages",),
    "jax._src": (),
    "jax._src.compiler": (f"{HERE}.private",),
    "jax._src.ad_util": (f"{HERE}.interpreters.ad", f"{HERE}.private"),
    "jax._src.api_util": (f"{HERE}.linear_util", f"{HERE}.core"),
    "jax._src.core": (f"{HERE}.core", f"{HERE}.primitives"),
    "jax._src.checkify": ("fnn.experimental.checkify",),
    "jax._src.state": (),
    "jax._src.state.types": (f"{HERE}.private",),
    "jax._src.dispatch": (f"{HERE}.private", f"{HERE}.primitives"),
    "jax._src.dtypes": (f"{HERE}.dtypes",),
    "jax._src.flatten_util": ("fnn.flatten_util",),
    "jax._src.tree_util": ("fnn.tree_util", f"{HERE}.trees"),
    "jax._src.test_util": ("fnn.test_util",),
    "jax._src.traceback_util": (f"{HERE}.private",),
    "jax.sharding": ("fnn.sharding",),
    "jax.profiler": (f"{HERE}.profiler",),
    "jax.monitoring": (f"{HERE}.profiler",),
    "jax.custom_derivatives": (f"{HERE}.custom_derivatives", f"{HERE}.private"),
    "jax.custom_batching": ("fnn.transforms.custom_batching",),
    "jax.ad_checkpoint": (f"{HERE}.custom_derivatives",),
    "jax.api_util": (f"{HERE}.linear_util", f"{HERE}.core"),
    "jax.dlpack": (f"{HERE}.top", "fnn.numpy"),
    "jax.test_util": ("fnn.test_util",),
    "jax.version": (f"{HERE}.top",),
    "jax.example_libraries": (),
    "jax.example_libraries.stax": (f"{HERE}.stax",),
    "jax.example_libraries.optimizers": (f"{HERE}.optimizers",),
    "jax.experimental": (f"{HERE}.experimental",),
    "jax.experimental.ode": ("fnn.scipy.integrate",),
    "jax.experimental.hijax": (f"{HERE}.hijax",),
    "jax.experimental.layout": (f"{HERE}.trees",),
    "jax.experimental.checkify": ("fnn.experimental.checkify",),
    "jax.experimental.sparse": ("fnn.experimental.sparse",),
    "jax.experimental.sparse.linalg": ("fnn.experimental.sparse.linalg",),
    "jax.experimental.mesh_utils": (f"{HERE}.parallel",),
    "jax.experimental.multihost_utils": (f"{HERE}.parallel",),
    "jax.experimental.pjit": (f"{HERE}.parallel",),
    "jax.experimental.shard_map": (f"{HERE}.parallel",),
    "jax.experimental.optimizers": (f"{HERE}.optimizers",),
    "jax.experimental.stax": (f"{HERE}.stax",),
    "jax.lib": (f"{HERE}.top",),
    "jaxlib": (f"{HERE}.top",),
    "jaxlib.xla_client": (f"{HERE}.top",),
    "jaxlib.version": (f"{HERE}.top",),
}  # fmt: skip

answered: set[str] = set()  # the submodules that were imported


class Answer(ModuleType):
    """A module of JAX's name whose attributes are fnn's."""

    def __init__(self, name: str):
        super().__init__(name, f"{name}, answered by {', '.join(MODULES[name]) or 'its submodules'}")
        self.__path__ = []  # it may have submodules

    def __getattr__(self, attribute: str) -> Any:
        if f"{self.__name__}.{attribute}" in MODULES:
            try:
                return importlib.import_module(f"{self.__name__}.{attribute}")
            except ModuleNotFoundError:
                pass  # said below
        if not attribute.startswith("__") or attribute in ("__version__", "__version_info__"):
            for source in self._sources():
                found = getattr(source, attribute, _NONE)
                if found is not _NONE and not (isinstance(found, ModuleType) and found.__name__[:3] != "fnn"):
                    setattr(self, attribute, found)
                    return found
        raise AttributeError(
            f"module {self.__name__!r} has no attribute {attribute!r}: fnn answers it with "
            f"{', '.join(MODULES[self.__name__]) or 'its submodules'}, which has no such name; docs/compatibility.md "
            "lists what there is",
            name=attribute,
            obj=self,
        )

    def _sources(self) -> Iterable[Any]:
        return filter(None, map(_found, MODULES[self.__name__]))

    def __dir__(self) -> list[str]:
        names = {name for source in self._sources() for name in dir(source) if not name.startswith("_")}
        below = {m.removeprefix(f"{self.__name__}.") for m in MODULES if m.startswith(f"{self.__name__}.")}
        return sorted(names | {name for name in below if "." not in name})

    @property
    def __all__(self) -> list[str]:
        return [name for name in dir(self) if hasattr(self, name)]


_NONE = object()


def _found(name: str) -> Any:
    """A module of fnn's, or what stands in its place in the package above (a distribution of scipy.stats); None."""
    parent, _, last = name.rpartition(".")
    try:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    except ModuleNotFoundError:  # the parent is no package
        return None
    return getattr(importlib.import_module(parent), last, None)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds jax and its submodules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] not in ("jax", "jaxlib"):
            return None
        sources = MODULES.get(fullname)
        if sources is None or (sources and not any(found is not None for found in map(_found, sources))):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: fnn has no counterpart of it; docs/compatibility.md lists the modules "
                "and names there are",
                name=fullname,
            )
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        answered.add(spec.name)
        return Answer(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run: attributes are looked up when they are used."""
