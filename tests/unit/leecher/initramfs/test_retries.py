"""A boot is tried again after a network fault, and no longer than `swarmboot.timeout` says."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from leecher.boot.options import BootOptions
from leecher.initramfs import __main__ as initramfs
from swarmboot.errors import TransferError
from swarmboot.settings import build_settings

BOOT_S = 4.0


@dataclass(slots=True)
class Host:
    """A clock, of a host that wakes up late, and boots that fail after BOOT_S; `limits_s` is what they were given."""

    late_s: float
    now_s: float = 1000.0
    limits_s: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self.late_s

    def boot(self, options: BootOptions) -> None:
        self.limits_s.append(options.settings.timeout_s)
        assert len(self.limits_s) <= 20, "it has no end"
        self.now_s += min(BOOT_S, options.settings.timeout_s or BOOT_S)
        raise TransferError("nobody there")


@pytest.mark.parametrize("late_s", [0.0, 0.7, 30.0])
def test_an_attempt_has_what_is_left_of_the_time_and_never_all_of_it_again(
    monkeypatch: pytest.MonkeyPatch, late_s: float
) -> None:
    host = Host(late_s)
    monkeypatch.setattr(initramfs, "time", host)
    monkeypatch.setattr(initramfs, "boot", host.boot)
    settings = build_settings({"timeout": "15s", "server": "https://10.0.0.1:8470"})
    with pytest.raises(TransferError, match="nobody there"):
        initramfs._boot(settings, 0.0, lambda *_: None, may_retry=lambda: True)
    assert host.limits_s[0] == 15.0
    assert all(0 < later < earlier for earlier, later in zip(host.limits_s, host.limits_s[1:], strict=False))
    assert host.now_s <= 1015.0 + late_s


def test_without_a_timeout_it_is_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(0.0)
    monkeypatch.setattr(initramfs, "time", host)
    monkeypatch.setattr(initramfs, "boot", host.boot)
    with pytest.raises(AssertionError, match="no end"):
        initramfs._boot(build_settings({}), 0.0, lambda *_: None, may_retry=lambda: True)
    assert set(host.limits_s) == {0.0}
