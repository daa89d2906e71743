"""The console in a real browser: Chromium, with scripts and without, light and dark, narrow and wide, by keyboard."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.web.browsing import OPERATOR_SCREENS, SCREENS
from tests.web.site import Site

pytestmark = pytest.mark.thorough

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALL_SCREENS = (*SCREENS, *OPERATOR_SCREENS)
_NARROW, _WIDE = {"width": 360, "height": 800}, {"width": 1440, "height": 900}
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, once for all tests."""
    if CHROMIUM is None:
        reason = "install Chromium (Debian: apt-get install chromium) to test the console in a browser"
        if os.environ.get("BILLING_REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A browser that has logged in, and everything that it complained of or asked of others."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Opens a page."""
        answer = self.page.goto(f"{self.address}{path}")
        assert answer
        assert answer.status == 200, path
        return self.page


def visit(browser: Browser, site: Site, token: str, **options: object) -> tuple[BrowserContext, Visit]:
    """A new context that has logged in with the form."""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    found = Visit(page=context.new_page(), address=site.address)
    page = found.page
    page.on("pageerror", lambda error: found.faults.append(str(error)))
    page.on(
        "console", lambda message: found.faults.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on(
        "request",
        lambda request: (
            None
            if urlsplit(request.url).hostname == "127.0.0.1" or request.url.startswith("data:")
            else found.foreign.append(request.url)
        ),
    )
    page.goto(f"{site.address}/console/login")
    page.fill("#token", token)
    page.press("#token", "Enter")
    page.wait_for_url(f"{site.address}/console")
    return context, found


def _noted(message: ConsoleMessage, faults: list[str]) -> None:
    if message.type in ("error", "warning"):
        faults.append(message.text)


@pytest.fixture(scope="module")
def token(console: Site) -> str:
    """The operator's token."""
    return console.token("admin")


@pytest.fixture
def operator(browser: Browser, console: Site, token: str) -> Iterator[Visit]:
    """The operator at a wide screen."""
    context, found = visit(browser, console, token, viewport=_WIDE, locale="en-GB")
    yield found
    context.close()
    assert found.faults == []
    assert found.foreign == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_is_accessible_and_asks_nobody_else(
    browser: Browser, console: Site, token: str, scheme: str
) -> None:
    """axe finds nothing, the page has no error and breaks no policy, no request leaves the machine; nothing is wider
    than the screen, at 1,440 pixels and at 360."""
    context, found = visit(browser, console, token, viewport=_WIDE, color_scheme=scheme)
    axe = Axe()
    for path in ALL_SCREENS:
        page = found.open(path)
        for details in page.locator("details").all():
            details.evaluate("each => { each.open = true }")
        violations = axe.run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == [], path
        for size in (_NARROW, _WIDE):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            assert page.evaluate(_OVERFLOW) <= 0, (path, size)
    context.close()
    assert found.faults == []
    assert found.foreign == []


def test_the_login_and_a_problem_are_accessible(browser: Browser, console: Site) -> None:
    context = browser.new_context(viewport=_NARROW)  # type: ignore[arg-type]
    page = context.new_page()
    for path in ("/console/login", "/console/language/fr"):
        page.goto(f"{console.address}{path}")
        assert [each["id"] for each in Axe().run(page).response["violations"]] == []
        assert page.evaluate(_OVERFLOW) <= 0
    context.close()


def test_the_first_tab_reaches_the_skip_link_and_it_leads_to_the_content(operator: Visit) -> None:
    for path in ALL_SCREENS:
        page = operator.open(path)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip", path
        assert page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_days_are_walked_and_lists_are_found_by_keyboard(operator: Visit) -> None:
    page = operator.open("/console/usage?account=academy&app=1400000001&day=2026-03-12")
    page.keyboard.press("]")
    page.wait_for_url("**day=2026-03-13**")
    page.keyboard.press("[")
    page.wait_for_url("**day=2026-03-12**")
    page = operator.open("/console")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("clin/[]")
    page.fill("#q", "clin")
    assert page.locator(".card:visible").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_url("**q=clin**")
    assert page.locator(".card").count() == 1


def test_a_token_is_made_and_revoked_with_the_keyboard_alone(operator: Visit) -> None:
    page = operator.open("/console")
    _tab_to(page, "Tokens")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/tokens")
    _tab_to(page, "", tag="SELECT")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("made by keyboard")
    page.keyboard.press("Enter")
    page.wait_for_selector(".secret")
    made = page.inner_text(".secret").split("_")[1]
    _tab_to(page, f"Revoke {made}", tag="SUMMARY")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("id => document.querySelector(`[data-text*='${id}'] .state`) !== null", arg=made)


def _tab_to(page: Page, text: str, tag: str = "A") -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        here = page.evaluate("[document.activeElement.tagName, document.activeElement.textContent.trim()]")
        if here[0] == tag and here[1].startswith(text):
            return
    raise AssertionError(f"{text!r} is not reached by Tab")


def test_the_calculator_answers_as_one_types(operator: Visit) -> None:
    page = operator.open("/console/calculator?tariff=policy:trtc-intl&users=3&minutes=45&per_day=20")
    before = page.inner_text("#estimate .figure.main .value")
    page.fill('[name="per_day"]', "40")
    changed = "before => document.querySelector('#estimate .figure.main .value').innerText !== before"
    page.wait_for_function(changed, arg=before)
    typed = page.inner_text("#estimate")
    assert "per_day=40" in page.url
    assert operator.open(page.url.removeprefix(operator.address)).inner_text("#estimate") == typed
    page.fill('[name="cameras"]', "large")
    page.wait_for_selector("#estimate .fault")
    page.select_option('[name="kind"]', "live")
    assert page.locator('[name="audience"]').is_visible()
    assert not page.locator('[name="users"]').is_visible()


def test_everything_works_without_scripts(browser: Browser, console: Site, token: str) -> None:
    context, found = visit(browser, console, token, java_script_enabled=False)
    page = found.open("/console/usage?account=academy&app=1400000001&day=2026-03-12")
    page.select_option('[name="by"]', "reason")
    page.click("form.bar button")
    assert "screen share" in page.inner_text(".legend")
    page.fill('[name="day"]', "2026-03-13")
    page.click("form.bar button")
    assert page.locator(".steps strong").inner_text() == "2026-03-13"
    page = found.open("/console/calculator?tariff=policy:trtc-intl")
    page.fill('[name="per_day"]', "7")
    page.click("form button:has-text('Estimate')")
    assert "per_day=7" in page.url
    assert page.locator("#estimate .figure").count() == 3
    page.click("text=Log out")
    page.wait_for_url("**/console/login")
    context.close()
    assert found.faults == []


def test_pages_print_light_and_without_what_is_not_for_paper(operator: Visit, tmp_path: Path) -> None:
    for number, path in enumerate(SCREENS):
        page = operator.open(path)
        page.emulate_media(media="print", color_scheme="dark")
        for hidden in (".side", ".who", ".foot"):
            assert not page.locator(hidden).first.is_visible()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 33, 36)"
        file = tmp_path / f"{number}.pdf"
        page.pdf(path=str(file), format="A4")
        assert file.read_bytes().startswith(b"%PDF")
        page.emulate_media(media="screen")


def test_the_forms_of_another_site_are_not_sent_with_the_session(
    operator: Visit, console: Site, tmp_path: Path
) -> None:
    """A page that stands elsewhere sends a form here: the browser leaves the cookie out."""
    page, elsewhere = operator.open("/console"), tmp_path / "evil.html"
    target = f"{console.address}/console/tokens"
    elsewhere.write_text(f'<form method="post" action="{target}"><input name="scope" value="admin"></form>')
    page.goto(elsewhere.as_uri())
    page.evaluate("document.forms[0].submit()")
    page.wait_for_url(f"{console.address}/**")
    assert page.locator("#token").is_visible() or page.locator(".problem").is_visible()
    operator.faults.clear()  # the browser says that it was refused
    operator.foreign.clear()
