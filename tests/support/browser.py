"""Debian's Chromium without a screen, driven by its own chromedriver: what it shows, logs and asks for.

It can reach nothing but this machine: every other host's name is unknown to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

BOUND_S = 60
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--lang=en",
)


@dataclass(slots=True)
class Browser:
    """One window."""

    driver: webdriver.Chrome

    def open(self, address: str) -> None:
        self.driver.get(address)

    def look(self, *, width: int = 1440, height: int = 1000, scale: float = 1, dark: bool = False) -> None:
        """Be a screen of this size, or a phone if it is narrow."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def until(self, expression: str, *arguments: object, every_s: float = 0.05) -> Any:
        """Return a JavaScript expression's value once it is true."""
        wait = WebDriverWait(self.driver, BOUND_S, every_s)
        return wait.until(lambda driver: driver.execute_script(f"return {expression}", *arguments), expression)

    def text(self, selector: str) -> str:
        return str(self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        for key in keys:
            webdriver.ActionChains(self.driver, duration=0).send_keys(key).perform()

    def block(self, *patterns: str) -> None:
        """Let requests to these addresses fail from now on."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(patterns)})

    def hasten(self, times: int) -> None:
        """Let timers of pages that are opened from now on run so many times as fast."""
        source = (
            f"const wait = window.setTimeout; window.setTimeout = (f, ms, ...more) => wait(f, ms / {times}, ...more)"
        )
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})

    def complaints(self) -> list[str]:
        """Return what the browser has logged since the last call: errors, refusals by the page's policy."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def hosts(self) -> set[str]:
        """Return which servers were asked for anything since the last call."""
        asked = [each["request"]["url"] for each in self._heard("Network.requestWillBeSent")]
        return {urlsplit(url).netloc for url in asked if not url.startswith("data:")}

    def tasks_ms(self, *, since_s: float) -> list[float]:
        """Return what processor time each task of pages' main threads took since a time (clock_gettime(2), monotonic).

        Only of a traced browser, and once: what has been read is gone.
        """
        events = self._heard("Tracing.dataCollected")
        threads = {
            (each["pid"], each["tid"])
            for each in events
            if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
        }
        return [
            each["tdur"] / 1000
            for each in events
            if each.get("ts", 0) >= since_s * 1e6
            and each["name"].endswith("::RunTask")
            and "tdur" in each
            and (each["pid"], each["tid"]) in threads
        ]

    def _heard(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of a kind in the browser's log, which this empties."""
        log = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        said = [json.loads(entry["message"])["message"] for entry in log]
        return [each["params"] for each in said if each["method"] == method]


@contextmanager
def browsing(*, is_traced: bool = False, host: str = "127.0.0.1") -> Iterator[Browser]:
    """Start a browser that reaches one host, and end it; traced, it also notes what each task of a page costs."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in _FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {host}")
    options.accept_insecure_certs = True
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if is_traced:
        options.add_experimental_option("perfLoggingPrefs", {"traceCategories": "toplevel"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
