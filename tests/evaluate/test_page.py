"""The page holds everything, points nowhere, and plays in a real browser."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from talk3d.dataset import Subject
from talk3d.evaluate.run import EvaluateConfig, evaluate
from talk3d.trust.manifest import read_manifest
from talk3d.trust.verify import verify

from .browser import Browser, available
from .subjects import write_subject, write_video


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    subject = Subject.open(write_subject(folder / "drawn", 200))
    test = subject.test
    pictures = np.stack([subject.frame(k) for k in test])
    wave = subject.audio()[test.start * 640 : test.stop * 640]
    # A name that would end the script if it were not escaped.
    result = write_video(folder / "a<b&c.mkv", pictures, wave)
    config = EvaluateConfig(face_models=folder / "none")
    evaluate(result, folder / "drawn", folder / "out", config=config)
    return folder / "out" / "report.html"


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_nothing_points_outside(page):
    text = page.read_text()
    parser = _Addresses()
    parser.feed(text)
    assert parser.found
    assert all(address.startswith("data:") for address in parser.found)
    allowed = {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r"https?://[\w./-]+", text)) <= allowed
    assert "{{" not in text


def test_the_data_can_be_read_back(page):
    text = page.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    data = json.loads(found[1])
    written = json.loads((page.parent / "report.json").read_text())
    assert data["report"] == written
    assert len(data["series"]["result"]["matte/psnr"]) == written["frames"]
    assert {jump["title"] for jump in data["jumps"]} >= {"Worst mouth", "Best mouth"}


@pytest.mark.skipif(not available(), reason="chromium and chromedriver are not here")
def test_sheets_player_and_embedded_pictures_are_marked(page, tmp_path):
    sheets = sorted((page.parent / "strips").rglob("*.png"))
    assert len(sheets) == 6
    for sheet in (sheets[0], sheets[-1]):
        assert verify(sheet).belong
    player = read_manifest(page.parent / "player.mp4")
    assert player is not None
    assert player.valid
    codes = re.findall(r"data:image/jpeg;base64,([^\"]+)", page.read_text())
    assert len(codes) == 6
    (tmp_path / "a.jpg").write_bytes(base64.b64decode(codes[0]))
    assert verify(tmp_path / "a.jpg").belong


def test_the_page_plays_in_a_browser(page, tmp_path):
    with Browser() as browser:
        browser.open(page)
        rows = browser.run(
            "return document.querySelectorAll('#table tbody, #table tr.result').length"
        )
        plots = browser.run("return document.querySelectorAll('.plot path').length")
        images = browser.wait(
            "Promise.all([...document.images].map((i) => { i.loading = 'eager';"
            " return i.decode().then(() => i.naturalWidth); })).then(done)"
        )
        time, width = browser.wait(
            "const video = document.getElementById('video'); video.muted = true;"
            "document.getElementById('play').click();"
            "setTimeout(() => done([video.currentTime, video.videoWidth]), 700);"
        )
        frame = browser.wait(
            "const video = document.getElementById('video');"
            "video.addEventListener('seeked', () => done("
            "document.getElementById('clock').textContent), {once: true});"
            "document.querySelector('#jumps button').click();"
        )
        painted = browser.run(
            "const c = document.getElementById('canvas');"
            "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            ".filter((v, k) => k % 4 < 3 && v > 60).length"
        )
        errors = browser.errors()
        browser.screenshot(tmp_path / "page.png")
    assert rows == 1
    assert plots >= 3
    assert len(images) == 6
    assert min(images) > 100
    assert time > 0.2
    assert width == 192
    worst = json.loads(re.search(r'"jumps": (\[.*?\])', page.read_text())[1])[0]
    assert frame.endswith(f"frame {worst['frame']}")
    assert painted > 1000
    assert errors == []
    assert (tmp_path / "page.png").stat().st_size > 10_000
