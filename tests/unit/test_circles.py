"""Modules that know each other in a circle, counted with imports for types: few, and in one room."""

import grimp
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

PACKAGES = ("mptcp_stack", "testbed", "experiments", "analysis")
MOST = 10
"""Modules in one circle: to understand one of them is to understand all."""


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """The groups of modules each of which imports every other one, if in several steps."""
    modules = sorted(graph.modules)
    index = {module: number for number, module in enumerate(modules)}
    edges = [(index[one], index[two]) for one in modules for two in graph.find_modules_directly_imported_by(one)]
    importing, imported = zip(*edges, strict=True)
    matrix = csr_matrix((np.ones(len(edges)), (importing, imported)), shape=(len(modules),) * 2)
    count, labels = connected_components(matrix, connection="strong")
    groups = [[modules[n] for n in np.flatnonzero(labels == label)] for label in range(count)]
    return [group for group in groups if len(group) > 1]


def room(module: str, graph: grimp.ImportGraph) -> str:
    """The package that a module is in; a package is in itself."""
    return module if graph.find_children(module) else module.rpartition(".")[0]


def test_circles_are_small_and_within_one_room() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    found = circles(graph)
    assert [circle for circle in found if len(circle) > MOST] == []
    assert [circle for circle in found if len({room(module, graph) for module in circle}) > 1] == []


def test_no_circle_is_left_without_imports_for_types() -> None:
    assert circles(grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)) == []


def test_a_circle_is_found() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("a.x", "b.y"), ("b.y", "b.z"), ("b.z", "a.x"), ("b.z", "c")):
        graph.add_import(importer=importer, imported=imported)
    assert circles(graph) == [["a.x", "b.y", "b.z"]]
