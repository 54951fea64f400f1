"""The report page as a browser shows it: a headless Chromium renders it at two widths."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from test_report import CURVE, HOSTILE, make_evaluation, make_full_evaluation

from lawtune.eval.report import write_reports

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
PNG = b"\x89PNG\r\n\x1a\n"

# Says what is seen: the text without what is hidden, and whether the page is wider than its window.
PROBE = """<script>
document.body.dataset.seen = JSON.stringify({
  text: document.body.innerText,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  charts: [...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().width),
});
</script>"""
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="there is no chromium or google-chrome"),
]


@pytest.fixture
def browse(tmp_path: Path):
    """(page, options) → what Chromium wrote to its output and what pages wrote to the console."""

    def run(page: Path, *options: str) -> tuple[str, list[str]]:
        profile = tmp_path / "profile"
        shutil.rmtree(profile, ignore_errors=True)
        done = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()],
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, console

    return run


def see(browse, page: Path, width: int) -> dict:
    """What a reader sees of the page in a window of this width."""
    probed = page.with_name("probed.html")
    probed.write_text(POLICY.sub("", page.read_text("utf-8")) + PROBE, "utf-8")
    dom, _ = browse(probed, "--dump-dom", f"--window-size={width},1400")
    return json.loads(unescape(re.search(r'data-seen="([^"]*)"', dom)[1]))


def test_a_console_message_is_noticed(tmp_path, browse):
    page = tmp_path / "noisy.html"
    page.write_text("<script>console.error('broken')</script>", "utf-8")
    _, console = browse(page, "--dump-dom")
    assert any("broken" in line for line in console)


def test_the_page_opens_without_a_complaint(tmp_path, browse):
    write_reports(make_evaluation(text=HOSTILE), tmp_path, "ko", CURVE)
    picture = tmp_path / "report.png"
    dom, console = browse(tmp_path / "report.html", "--dump-dom")
    _, more = browse(tmp_path / "report.html", f"--screenshot={picture}", "--window-size=1280,2400")
    assert console + more == []
    assert "lawtune 평가 보고서" in dom
    assert "<script>" not in dom.lower()
    assert picture.read_bytes().startswith(PNG)
    assert picture.stat().st_size > 20_000


@pytest.mark.parametrize("width", [1280, 500])
def test_verdict_figures_and_answers_are_seen(tmp_path, browse, width):
    write_reports(make_evaluation(), tmp_path, "ko", CURVE)
    seen = see(browse, tmp_path / "report.html", width)
    for text in (
        "미세조정한 모델이 기준 모델보다 낫습니다.",
        "정답 비트/바이트",
        "[−0.210, −0.190]",
        "우연 0.200",
        "법령 해석",
        "학습 곡선",
        "손해를 배상할 책임이 있다.",
        "(빈 답)",
        "lawtune:0|seed:42",
    ):
        assert text in seen["text"]
    # Wide tables scroll by themselves; the page as a whole never does.
    assert seen["overflow"] <= 0
    assert len(seen["charts"]) == 8
    assert all(0 < chart <= width for chart in seen["charts"])


@pytest.mark.parametrize("width", [1280, 500])
def test_every_part_is_seen_and_nothing_is_wider_than_the_window(tmp_path, browse, width):
    text = "민법 제750조에 따라 손해를 배상한다. " + "띄어쓰기없는긴말" * 100
    write_reports(make_full_evaluation(text=text), tmp_path, "ko", CURVE)
    seen = see(browse, tmp_path / "report.html", width)
    for shown in ("✓", "✗", "확률의 보정", "기대 보정 오차", "오염 검사", "법령별", "가장 나쁜 답"):
        assert shown in seen["text"]
    assert seen["overflow"] <= 0
    assert all(0 < chart <= width for chart in seen["charts"])
    # What is folded away is not seen until it is asked for.
    assert "75.0 %" not in seen["text"]
