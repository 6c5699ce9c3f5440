"""`make demo-lazy`: two machines side by side, one of which goes on before all of its root is there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(300),
    pytest.mark.needs("ip", "tc", "mksquashfs", "losetup", "chroot"),
]


def test_the_lazy_machine_has_read_its_boot_long_before_the_other() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netsim.demo.lazy"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    found = {
        name: (float(ready), float(whole))
        for name, ready, whole in re.findall(r"lazy=(on|off) +\S+ +([\d.]+) +\S+ +([\d.]+)", done.stdout)
    }
    assert found["on"][0] < 0.5 * found["off"][0]
    assert found["on"][1] < 1.3 * found["off"][1]
    assert "has read what a boot reads" in done.stderr
