"""What a seeder counts for Prometheus: of reports, of refusals, and with labels that nobody else chooses."""

from __future__ import annotations

from seeder.monitoring.meters import OTHER, REFUSALS, Meters
from swarmboot.errors import SignatureError
from swarmboot.wire.report import BOOTED, FAILED, VERIFIED, BootReport

VERIFIED_BOOT = BootReport(
    "01", VERIFIED, phases={"images": 4.0, "manifest": 0.2}, bytes_from={"neighbours": 900, "origin": 100}, rescues=3
)


def value(meters: Meters, name: str, **labels: str) -> float | None:
    return meters.collectors.get_sample_value(f"swarmboot_{name}", labels)


def test_a_boot_is_counted_once_although_its_system_repeats_what_its_initramfs_has_reported() -> None:
    meters = Meters()
    meters.take(VERIFIED_BOOT)
    phases = {**VERIFIED_BOOT.phases, "services": 7.0}
    meters.take(BootReport("01", BOOTED, phases=phases, bytes_from=VERIFIED_BOOT.bytes_from, uptime_s=20.0))
    assert value(meters, "reports_total", outcome=VERIFIED) == value(meters, "reports_total", outcome=BOOTED) == 1
    assert value(meters, "boot_received_bytes_total", source="neighbours") == 900
    assert value(meters, "boot_phase_seconds_count", phase="images") == 1
    assert value(meters, "boot_phase_seconds_sum", phase="services") == 7
    assert value(meters, "boot_rescues_total") == 3
    assert value(meters, "boot_seconds_sum") == 20


def test_a_failure_is_counted_under_its_exit_status_and_an_unknown_one_under_other() -> None:
    meters = Meters()
    for status in (SignatureError.exit_status, 201, 202):
        meters.take(BootReport("01", FAILED, exit_status=status))
    assert value(meters, "boots_failed_total", status=str(SignatureError.exit_status)) == 1
    assert value(meters, "boots_failed_total", status=OTHER) == 2


def test_no_report_makes_a_series_that_was_not_there() -> None:
    def series(meters: Meters) -> int:
        return sum(len(metric.samples) for metric in meters.collectors.collect())

    meters = Meters()
    before = series(meters)
    meters.take(VERIFIED_BOOT)
    for number in range(200):
        meters.take(BootReport("01", f"outcome {number}", exit_status=number))
    meters.refuse(next(iter(REFUSALS)))
    assert series(meters) == before
