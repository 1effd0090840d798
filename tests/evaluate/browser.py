"""A headless Chromium for the tests, driven through ChromeDriver's plain HTTP."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Self

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def available() -> bool:
    """Whether Chromium and ChromeDriver are installed."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """One window. Use as a context manager."""

    def __init__(self, width: int = 1200, height: int = 1000) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True
        )
        assert self._driver.stdout is not None
        port = None
        for line in self._driver.stdout:
            started = re.search(r"started successfully on port (\d+)", line)
            if started:
                port = started[1]
                break
        self._base = f"http://127.0.0.1:{port}"
        arguments = [*_FLAGS, f"--user-data-dir={self._profile.name}"]
        arguments.append(f"--window-size={width},{height}")
        options = {"args": arguments, "binary": shutil.which("chromium")}
        logs = {"browser": "ALL"}
        wish = {"goog:chromeOptions": options, "goog:loggingPrefs": logs}
        session = self._call(
            "POST", "/session", {"capabilities": {"alwaysMatch": wish}}
        )
        self._session = f"/session/{session['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._call("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait()
        assert self._driver.stdout is not None
        self._driver.stdout.close()
        self._profile.cleanup()

    def open(self, path: Path) -> None:
        """Load a file."""
        self._call("POST", f"{self._session}/url", {"url": path.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """Run JavaScript; `return` gives the value."""
        body = {"script": script, "args": []}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def wait(self, script: str) -> Any:
        """Run JavaScript that calls `done(value)` when it is ready."""
        body = {"script": f"const done = arguments[0]; {script}", "args": []}
        return self._call("POST", f"{self._session}/execute/async", body)

    def errors(self) -> list[str]:
        """Messages of the console that are errors or warnings."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def screenshot(self, path: Path) -> None:
        """Save what the window shows."""
        picture = self._call("GET", f"{self._session}/screenshot")
        path.write_bytes(base64.b64decode(picture))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        content = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self._base + path,
            content,
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
