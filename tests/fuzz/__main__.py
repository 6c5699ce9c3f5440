"""Coverage-guided fuzzing of every decoder: `python -m tests.fuzz --runs 1000000` (atheris, over libFuzzer).

The first byte of an input chooses the decoder. It begins with the decoders' own seeds and goes on from what reached new
code before, kept under `.cache/fuzz`. Ends with status 77 at an error that is not the decoder's own, and with another
at an input that takes ten seconds or 1 GiB of memory; the input is then in `.cache/fuzz/found`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["swarmboot", "seeder", "leecher", "netsim", "tarfile", "tomllib"]):
    from tests.fuzz.decoders import DECODERS, LONGEST_BYTES

_RSS_MIB, _TIMEOUT_S = 1024, 10


def _one(data: bytes) -> None:
    if data:
        DECODERS[data[0] % len(DECODERS)].try_bytes(data[1:])


def _write_seeds(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, decoder in enumerate(DECODERS):
        for seed in decoder.seeds:
            data = bytes([number]) + seed
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main() -> None:
    """Fuzz for as many inputs as are asked for."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Fuzz every decoder.")
    parser.add_argument("--runs", type=int, default=100_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer; 0 takes one from the clock")
    parser.add_argument("--corpus", type=Path, default=Path(".cache/fuzz"), help="where inputs are kept")
    options = parser.parse_args()
    _write_seeds(options.corpus / "corpus")
    (options.corpus / "found").mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        str(options.corpus / "corpus"),
        f"-runs={options.runs}",
        f"-seed={options.seed}",
        f"-max_len={LONGEST_BYTES}",
        f"-timeout={_TIMEOUT_S}",
        f"-rss_limit_mb={_RSS_MIB}",
        f"-artifact_prefix={options.corpus / 'found'}/",
        "-print_final_stats=1",
    ]
    atheris.Setup(arguments, _one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
