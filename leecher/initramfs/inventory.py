"""What an interpreter has of what the leecher needs: `python -m leecher.initramfs.inventory packages|wheels`.

Run by the interpreter that a runtime image is to be made of; `swarmboot hook build-runtime` reads the JSON. It loads
all that a node loads, what is loaded late included, and looks at what came. It ends with the ImportError of a module
that is not there. Standard library only beside that, of any version since 3.11.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from pathlib import Path


def load_everything() -> None:
    """Load whatever a node may load: all modules of the program, and what signatures and plain HTTP load late."""
    import leecher.initramfs.__main__
    import leecher.initramfs.root  # noqa: F401
    from leecher.initramfs.selftest import check_neighbours, check_signatures

    check_signatures()
    check_neighbours()


def packages(stdlib: str) -> dict[str, str]:
    """Return where the packages and modules outside the standard library are that have been loaded, by name."""
    found = {}
    for name in list(sys.modules):
        path = getattr(sys.modules.get(name), "__file__", None)
        is_ours = path and (not path.startswith(stdlib + "/") or "-packages/" in path)
        if path and is_ours and "." not in name and name != "__main__":
            found[name] = str(Path(path).parent) if Path(path).name.startswith("__init__.") else path
    return found


def main(origin: str) -> None:
    """Load, look and print; of an origin "packages" nothing that pip has put beside the distribution's counts."""
    if origin == "packages":
        sys.path[:] = [path for path in sys.path if not path.startswith("/usr/local/")]
    load_everything()
    stdlib = sysconfig.get_path("stdlib")
    facts = {
        "executable": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
        "stdlib": stdlib,
        "version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "tag": sys.implementation.cache_tag,
        "packages": packages(stdlib),
        "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
