"""The design's import table where import-linter's denylists cannot state it: what may be imported, nothing else."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import grimp
import pytest

import leecher
import seeder
import swarmboot
from leecher.initramfs.selftest import NOT_ON_A_NODE
from seeder.hook.runtime_image import read_recipe

PARTS = ("swarmboot", "seeder", "leecher", "netsim")
LEECHER_MAY_LOAD = {"libtorrent", "trio", "h11", "msgpack", "cryptography"}


NOT_IN_EVERY_TRIO = {"abandon_on_cancel", "cancellable"}
"""Two names of one argument: trio 0.22 of Debian 12 knows the second alone, 0.35 the first."""

HAVE_NO_SHIELD = {"move_on_after", "move_on_at", "fail_after", "fail_at"}
"""In trio 0.22; what `trio.CancelScope` takes has not changed since."""


def is_not_in_every_trio(call: ast.Call) -> bool:
    keywords = {keyword.arg for keyword in call.keywords}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return bool(NOT_IN_EVERY_TRIO & keywords) or (name in HAVE_NO_SHIELD and "shield" in keywords)


def test_trio_is_called_as_each_debian_has_it() -> None:
    found = [
        f"{path}:{call.lineno}"
        for part in (leecher, swarmboot, seeder)
        for path in Path(part.__path__[0]).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and is_not_in_every_trio(call)
    ]
    assert not found, f"{found}: use leecher.origin.threads.in_loose_thread, or trio.CancelScope"


LOAD_EVERY_LEECHER_MODULE = """
import importlib, pkgutil, sys, leecher
for module in pkgutil.walk_packages(leecher.__path__, "leecher."):
    if module.name != "leecher.cli":
        importlib.import_module(module.name)
print(*{name.partition(".")[0] for name in sys.modules})
"""


LIST_THE_VERBS = """
import sys
from click.testing import CliRunner
from swarmboot.cli import swarmboot
shown = CliRunner().invoke(swarmboot, ["--help"]).output
assert "a fleet takes to boot" in shown, shown
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PARTS, include_external_packages=True, cache_dir=None)


def part_of(module: str) -> str:
    return module.partition(".")[0]


def third_party(graph: grimp.ImportGraph, module: str) -> set[str]:
    imported = graph.find_modules_directly_imported_by(module)
    return {name for name in imported if part_of(name) not in PARTS and name not in sys.stdlib_module_names}


def modules_of(graph: grimp.ImportGraph, package: str) -> set[str]:
    return {package, *graph.find_descendants(package)}


def test_the_leecher_imports_only_what_its_runtime_image_holds(graph: grimp.ImportGraph) -> None:
    extra = {module: third_party(graph, module) - LEECHER_MAY_LOAD for module in modules_of(graph, "leecher")}
    extra["leecher.cli"] = extra.get("leecher.cli", set()) - {"click"}
    assert {module: names for module, names in extra.items() if names} == {}


def test_the_ground_that_the_leecher_stands_on_needs_nothing_more(graph: grimp.ImportGraph) -> None:
    light = modules_of(graph, "leecher") - {"leecher.cli"}
    ground = {
        module for name in light for module in graph.find_upstream_modules(name) if part_of(module) == "swarmboot"
    }
    extra = {module: third_party(graph, module) - LEECHER_MAY_LOAD for module in ground | {"swarmboot"}}
    assert {module: names for module, names in extra.items() if names} == {}


def test_what_the_self_test_loads_on_a_node_needs_nothing_more(graph: grimp.ImportGraph) -> None:
    held = {module for part in ("leecher", "swarmboot") for module in modules_of(graph, part)} - {*NOT_ON_A_NODE}
    extra = {module: third_party(graph, module) - LEECHER_MAY_LOAD for module in held}
    assert {module: names for module, names in extra.items() if names} == {}


def with_requirements(distribution: str, found: set[str]) -> set[str]:
    """Add a distribution and all that it may load to `found`: what it requires."""
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    if name not in found:
        found.add(name)
        try:
            requirements = requires(name) or []
        except PackageNotFoundError:
            requirements = []
        for requirement in requirements:
            wanted = re.match(r"[A-Za-z0-9._-]+", requirement)
            if wanted and "extra ==" not in requirement:
                with_requirements(wanted[0], found)
    return found


def test_running_the_leecher_loads_nothing_of_the_servers() -> None:
    run = subprocess.run(
        (sys.executable, "-c", LOAD_EVERY_LEECHER_MODULE), capture_output=True, text=True, check=True, timeout=60
    )
    installed = packages_distributions()
    loaded = {re.sub(r"[-_.]+", "-", name).lower() for top in run.stdout.split() for name in installed.get(top, [])}
    allowed = {"swarmboot", "setuptools"}
    for name in LEECHER_MAY_LOAD:
        with_requirements(name, allowed)
    assert {"trio", "libtorrent", "msgpack", "cryptography"} <= loaded  # h11 comes with the first neighbour
    assert loaded - allowed == set()


def test_listing_the_verbs_imports_none_of_them() -> None:
    run = subprocess.run((sys.executable, "-c", LIST_THE_VERBS), capture_output=True, text=True, check=True, timeout=60)
    modules = {name for name in run.stdout.split() if part_of(name) in PARTS and part_of(name) != "swarmboot"}
    assert {name for name in modules if not hasattr(importlib.import_module(name), "__path__")} == set()
    assert "numpy" not in run.stdout.split()


def test_no_module_of_a_node_imports_what_the_runtime_leaves_out(graph: grimp.ImportGraph) -> None:
    left_out = set(read_recipe().standard_library | read_recipe().unless_loaded)
    assert "tomllib" in left_out
    modules = [
        (importlib.util.find_spec(module.name), module.name)
        for part in (leecher, swarmboot)
        for module in pkgutil.walk_packages(part.__path__, f"{part.__name__}.")
    ]
    assert len(modules) > len(NOT_ON_A_NODE)
    for spec, name in modules:
        if name not in NOT_ON_A_NODE:
            assert spec is not None
            assert spec.origin is not None
            tree = ast.parse(Path(spec.origin).read_text())
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            assert not {each.partition(".")[0] for each in names} & left_out, name
            assert not third_party(graph, name) - LEECHER_MAY_LOAD, name
