"""The page, in a real Chromium: typing, choosing, filters, errors, hostile documents, and axe's
rules of accessibility."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pdf_files import Pdf, text
from support import COMMAND, ROOT, SAMPLE, clean_environment, wait_until

pytest.importorskip("starlette", reason="needs the extra qrank[http]")
pytest.importorskip("uvicorn", reason="needs the extra qrank[http]")
pytest.importorskip("selenium", reason="the page is tried in CI, in a browser")
import web_server
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from web_server import Web

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("needs chromium and chromedriver", allow_module_level=True)
AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"
PICTURE = ROOT / "docs" / "page.png"
HOSTILE = """\
# <script>document.title = "owned"</script> kestrel

The kestrel <img src=x onerror="document.title='owned'"> hovers \x1b[31mred\x1b[0m \x07
<script>document.title = "owned"</script><svg onload="document.title='owned'">
&lt;b&gt; 😀 kestrel \u202egnp.exe "><style>body{display:none}</style> javascript:alert(1)
"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("page")
    notes = folder / "notes"
    notes.mkdir()
    (notes / "<b>hostile.md").write_text(HOSTILE, "utf-8")
    pdf = Pdf()
    pdf.page(text((50, 700, "The first page.")))
    pdf.page(text((50, 700, "A pelican stands on the second page.")))
    (notes / "birds.pdf").write_bytes(pdf.bytes())
    environment = clean_environment(folder)
    for words in (
        ["index", str(SAMPLE / "runbooks"), "--db", "i.db"],
        ["index", str(notes), "--collection", "birds", "--db", "i.db"],
    ):
        subprocess.run(
            [COMMAND, *words], cwd=folder, env=environment, check=True, capture_output=True
        )
    with web_server.serving(folder / "i.db", folder / "token") as running:
        yield running


class Page:
    """The page in a browser, as somebody uses it."""

    def __init__(self, driver: Chrome, web: Web) -> None:
        self.driver, self.web = driver, web

    def open(self, width: int = 1200, height: int = 800) -> None:
        """Open it anew, as `qrank serve --open` does."""
        self.driver.set_window_size(width, height)
        self.driver.get("about:blank")
        code = self.web.ask("/v1/open", b"{}")[2]["code"]
        self.driver.get(f"{self.web.url}/?code={code}")
        assert self.driver.current_url.rstrip("/") == self.web.url  # no code stays in the address

    def one(self, css: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        """The texts of elements, all at one moment: the list is replaced while one looks."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        found: list[str] = self.driver.execute_script(script, css)
        return found

    def shows(self, css: str, words: str) -> None:
        """Wait until an element has these words."""
        wait_until(lambda: any(words in text for text in self.texts(css)))

    def type(self, words: str) -> None:
        query = self.one("#query")
        query.clear()
        query.send_keys(words)

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    def settled(self) -> None:
        """Wait until the last of the three searches is there."""
        self.shows("#status", "reranked")
        wait_until(lambda: "reranking" not in self.texts("#status")[0])


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    assert CHROMIUM
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--no-proxy-server",
    ):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    found = Chrome(options=options, service=Service(DRIVER))
    found.set_script_timeout(120)
    found.set_page_load_timeout(120)
    yield found
    found.quit()


@pytest.fixture
def page(driver: Chrome, web: Web) -> Iterator[Page]:
    found = Page(driver, web)
    found.open()
    yield found
    assert driver.title == "qrank"  # no document has changed it
    asked = [
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in driver.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    own = urlsplit(web.url).netloc
    assert {urlsplit(url).netloc for url in asked if url.startswith("http")} == {own}


def test_typing_finds_and_enter_opens(page: Page) -> None:
    assert page.driver.switch_to.active_element == page.one("#query")
    page.type("renew a certif")  # the last word is not whole
    page.shows("#list .place", "tls-renewal.md")
    page.type("renew a certificate")
    page.settled()
    assert "certificate" in {word.lower() for word in page.texts("#list mark")}
    page.press(Keys.ARROW_DOWN)
    chosen = page.driver.switch_to.active_element
    assert chosen == page.one("#list li:first-child a")
    page.press(Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER)
    page.shows("#place", "tls-renewal.md")
    first, last = page.one("#place").text.rpartition(":")[2].split("-")
    wait_until(lambda: page.all(".chosen .number"))
    assert page.one(".chosen .number").text == first
    assert page.all(".chosen .number")[-1].text == last
    assert page.all(".chosen mark")
    # What stands in the file there.
    path = page.one("#place").text.rpartition(":")[0]
    lines = Path(path).read_text("utf-8").splitlines()[int(first) - 1 : int(last)]
    assert [row.text for row in page.all(".chosen .words")] == [line.strip() for line in lines]
    page.press(Keys.ESCAPE)
    wait_until(lambda: not page.one("#reader").is_displayed())
    page.press("/")
    assert page.driver.switch_to.active_element == page.one("#query")


def test_how_a_score_came_about_is_shown(page: Page) -> None:
    page.type("renew a certificate")
    page.settled()
    page.one("#list summary").click()
    table = page.one("#list details[open] table").text
    for word in ("keywords (BM25)", "meaning (cosine)", "reranked", "P(yes)", "certif"):
        assert word in table


def test_filters_leave_out(page: Page) -> None:
    page.type("kestrel OR certificate")
    page.shows("#list .place", "hostile")
    page.shows("#list .place", "tls-renewal.md")
    page.one("#filters summary").click()
    wait_until(lambda: len(page.all("#collection option")) == 3)
    Select(page.one("#collection")).select_by_value("birds")
    wait_until(lambda: not any("tls" in text for text in page.texts("#list .place")))
    page.shows("#filtered", "(1)")
    assert "collection=birds" in page.driver.current_url
    page.one("#type").send_keys("pdf", Keys.TAB)
    page.shows("#filtered", "(2)")
    page.one("button[type=reset]").click()
    page.shows("#list .place", "tls-renewal.md")
    assert page.one("#query").get_attribute("value") == "kestrel OR certificate"
    Select(page.one("#mode")).select_by_value("bm25")
    page.driver.execute_script(
        "const f = document.getElementById('since'); f.value = '2100-01-01';"
        "f.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    page.shows("#status", "Nothing was found")


def test_nothing_found_and_errors_are_said(page: Page) -> None:
    page.type("xyzzyplugh")
    page.one("#filters summary").click()
    Select(page.one("#mode")).select_by_value("bm25")
    page.shows("#status", "Nothing was found")
    page.type("-certificate")
    page.press(Keys.ENTER)
    page.shows("#status", "only excludes words")
    assert "bad" in page.one("#status").get_attribute("class")
    page.type("certificate")
    page.shows("#list .place", "tls-renewal.md")
    assert "bad" not in page.one("#status").get_attribute("class")


def test_a_document_full_of_scripts_is_text(page: Page) -> None:
    page.type("kestrel")
    page.shows("#list .text", '<img src=x onerror="document.title=')
    page.settled()
    assert not page.all("#list img, #list script, #list svg, #list style, #list b")
    assert set(page.texts("#list mark")) == {"kestrel"}  # also after an emoji
    page.one("#list a").click()
    page.shows("#place", "<b>hostile.md")
    page.shows(".chosen", "<svg onload=")
    shown = page.one("#chunk").text
    assert "␛[31mred" in shown
    assert "\u202e" not in shown
    assert not page.all("#reader img, #reader script, #reader svg, #reader style, #reader b")
    said = [entry for entry in page.driver.get_log("browser") if entry["source"] != "network"]
    assert not said  # nothing was even tried


def test_a_page_of_a_pdf_is_a_picture(page: Page) -> None:
    page.type("pelican")
    page.settled()
    page.one("#list a").click()
    page.shows("#place", "page 2")
    wait_until(lambda: page.all("#picture img"))
    img = page.one("#picture img")
    wait_until(lambda: page.driver.execute_script("return arguments[0].naturalWidth", img) > 500)
    assert img.get_attribute("alt").startswith("Page 2 of ")


def test_back_and_reload_keep_what_was_there(page: Page) -> None:
    page.type("renew a certificate")
    page.settled()
    page.one("#list a").click()
    page.shows("#place", "tls-renewal.md")
    opened = page.one("#place").text
    page.driver.refresh()
    page.shows("#place", opened)
    page.settled()
    assert page.one("#query").get_attribute("value") == "renew a certificate"
    page.driver.back()
    wait_until(lambda: not page.one("#reader").is_displayed())
    assert page.all("#list a")
    page.driver.forward()
    page.shows("#place", opened)


def test_a_phone_shows_one_thing_at_a_time(page: Page) -> None:
    page.open(400, 800)
    page.type("renew a certificate")
    page.settled()
    wide = page.driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= page.driver.execute_script("return innerWidth")
    page.one("#list a").click()
    page.shows("#place", "tls-renewal.md")
    assert not page.one("#results").is_displayed()
    page.one("#back").click()
    wait_until(lambda: page.one("#results").is_displayed())


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: npm install --prefix .venv axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, scheme: str) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )

    def check() -> None:
        page.driver.execute_script(AXE.read_text("utf-8"))
        found = page.driver.execute_async_script("axe.run().then(arguments[0])")
        assert not [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]]

    check()
    page.type("renew a certificate")
    page.settled()
    page.one("#filters summary").click()
    page.one("#list summary").click()
    check()
    page.one("#list a").click()
    page.shows("#place", "tls-renewal.md")
    check()


@pytest.mark.skipif(PICTURE.exists(), reason="delete docs/page.png to have it made anew")
def test_a_picture_of_it_for_the_docs(driver: Chrome) -> None:
    with tempfile.TemporaryDirectory(prefix="notes-") as name:
        folder = Path(name)
        shutil.copytree(SAMPLE, folder / "sample")
        subprocess.run(
            [COMMAND, "index", "sample", "--db", "i.db"],
            cwd=folder,
            env=clean_environment(folder),
            check=True,
            capture_output=True,
        )
        with web_server.serving(folder / "i.db", folder / "token") as web:
            page = Page(driver, web)
            page.open(1100, 720)
            page.type("renew a certificate")
            page.settled()
            page.one("#list a").click()
            page.shows("#place", "tls-renewal.md")
            wait_until(lambda: page.all(".chosen"))
            page.one("#list summary").click()
            assert driver.save_screenshot(str(PICTURE))
    assert PICTURE.stat().st_size > 20_000


def test_without_a_code_it_says_how_to_open_it(driver: Chrome, web: Web) -> None:
    driver.delete_all_cookies()
    driver.get(web.url)
    assert "qrank serve --open" in driver.find_element(By.TAG_NAME, "body").text
