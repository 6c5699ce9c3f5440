"""A plugin's recipe: a script, or a YAML file as Coinboot has them (its plugins' repository, `coinbootmaker`).

    plugin: Telegraf            what people call it          archive_name: telegraf    what its file is called
    version: v1.18.1            behind that                  description, maintainer, source: for people
    run: |                      the script, for bash -e

All values are taken as text, so 21.50 stays as it is written. What is read here is not run here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from swarmboot.errors import RecipeError, ToolMissingError, UnreadableError

_YAML = (".yaml", ".yml")
_MOST_BYTES = 1 << 20
_NAMED = ("plugin", "archive_name", "version", "description", "maintainer", "source")
_UNFIT = re.compile(r"[^A-Za-z0-9._+-]+")
_BASH = "#!/bin/bash -e\n"
_SH = "#!/bin/sh -e\n"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is to be run over a root. `name` is for a file, `script` begins with a line that names its interpreter.

    `beside` is the folder that the script finds at /mnt; `about` is for people.
    """

    name: str
    script: str
    beside: Path
    about: dict[str, str] = field(default_factory=dict)


def read_recipe(path: Path) -> Recipe:
    """Return a recipe; raise RecipeError for one that says nothing to run, ToolMissingError without a YAML reader."""
    text = _text(path)
    beside = path.resolve().parent
    if path.suffix in _YAML:
        about, script = _parse(text, path)
        name = _UNFIT.sub("-", "_".join(filter(None, (about["archive_name"], about.get("version")))))
        return Recipe(name, script if script.startswith("#!") else _BASH + script, _base(beside), about)
    if not text.strip():
        raise RecipeError(f"{path} is empty", expected="a script, or YAML with `run:` in a file named .yaml")
    name = _UNFIT.sub("-", path.stem if path.suffix in (".sh", ".bash") else path.name)
    return Recipe(name, text if text.startswith("#!") else _SH + text, beside)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}", hint="name a recipe") from error
    if len(data) > _MOST_BYTES or b"\0" in data:
        raise RecipeError(
            f"{path} is no recipe", expected=f"a text of at most {_MOST_BYTES} bytes", found="more, or none"
        )
    return data.decode("utf-8-sig", errors="surrogateescape")


def _base(folder: Path) -> Path:
    """Return the folder that a recipe of Coinboot's has at /mnt: the one in which `src/` is, else its own."""
    return next((each.parent for each in (folder, *folder.parents) if each.name == "src"), folder)


def _parse(text: str, path: Path) -> tuple[dict[str, str], str]:
    try:
        import yaml
    except ModuleNotFoundError as error:
        hint = "apt-get install python3-yaml, or pip install 'swarmboot[yaml]'"
        raise ToolMissingError("recipes in YAML need PyYAML", hint=hint) from error
    try:
        value = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes text, lists and maps, nothing else
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(f"{path} is no YAML", found=" ".join(str(error).split())[:300]) from error
    if not isinstance(value, dict) or not isinstance(value.get("run"), str) or not value["run"].strip():
        keys = ", ".join(map(str, value)) if isinstance(value, dict) else "no map"
        raise RecipeError(f"{path} says nothing to run", expected="`run: |` and a script", found=keys or "nothing")
    if unknown := [str(key) for key in value if key not in (*_NAMED, "run")]:
        raise RecipeError(f"{path} has a key that is not known", expected=f"{', '.join(_NAMED)}, run", found=unknown[0])
    wrong = [key for key in _NAMED if not isinstance(value.get(key, ""), str)]
    if wrong:
        raise RecipeError(f"{path}: {wrong[0]} is no text", expected="one line", found="a list or a map")
    about = {key: value[key] for key in _NAMED if value.get(key)}
    return {**about, "archive_name": about.get("archive_name") or path.stem}, value["run"]
