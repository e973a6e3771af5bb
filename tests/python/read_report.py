"""Opens a page in Chromium, as a person and as a screen reader would, and prints what it found as JSON.

usage: read_report.py CHROMIUM PAGE
"""

import json
import os
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

# No sandbox within a sandbox, and nothing that asks the network for itself.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 800}},
}
# What a page has to be, as far as its own document can tell.
LOOK = """() => {
    const ids = [...document.querySelectorAll('[id]')].map(each => each.id);
    const links = [...document.querySelectorAll('a[href^="#"]')].map(each => each.getAttribute('href').slice(1));
    const texts = selector => [...document.querySelectorAll(selector)].map(each => each.textContent.trim());
    const rows = [...document.querySelectorAll('table')].map(table =>
        [...table.rows].map(row => [...row.cells].map(cell => cell.textContent)));
    return {
        title: document.title,
        hacked: window.hacked ?? null,
        scripts: document.scripts.length + document.querySelectorAll('img, iframe, object, link').length,
        doubled: ids.filter((id, at) => ids.indexOf(id) !== at),
        dangling: links.filter(id => !ids.includes(id)),
        too_wide: document.documentElement.scrollWidth - window.innerWidth,
        headings: [...document.querySelectorAll('h1, h2, h3, h4')].map(each => [each.tagName, each.textContent]),
        warnings: texts('.warnings li'),
        cards: [...document.querySelectorAll('.card')].map(card => [...card.children].map(each => each.textContent)),
        cite: texts('.cite span'),
        figures: texts('svg > title'),
        answers: texts('details details summary, section > details > summary'),
        pre: texts('pre'),
        tables: rows,
        first: document.querySelector('main').firstElementChild.className,
        background: getComputedStyle(document.body).backgroundColor,
        plot_text: [...document.querySelectorAll('.ipw-plot .fill-text')].slice(0, 1).map(each => getComputedStyle(each).fill),
    };
}"""


def by_keyboard(page: Page) -> dict:
    """What the Tab key comes to first, and whether Enter opens an answer."""
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    skipped_to = page.evaluate("document.activeElement.id")
    summary = page.locator("summary").first
    opened = None
    if summary.count():
        summary.focus()
        page.keyboard.press("Enter")
        opened = page.evaluate("document.querySelector('details').open")
    return {"first": first, "skipped_to": skipped_to, "opened": opened}


def violations(page: Page) -> list[str]:
    """What keeps some people from reading it; it is the same on a phone."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]


def main(chromium: str, path: str) -> None:
    found: dict = {"views": {}, "requests": [], "console": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name, view in VIEWS.items():
            context = browser.new_context(**view)
            page = context.new_page()
            page.on("request", lambda request: found["requests"].append(request.url[:200]))
            page.on("console", lambda message: found["console"].append(message.text))
            page.on("dialog", lambda dialog: found["console"].append(f"dialog: {dialog.message}"))
            page.goto(Path(path).resolve().as_uri())
            look = page.evaluate(LOOK)
            look["keyboard"] = by_keyboard(page)
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
            look["violations"] = [] if name == "phone" else violations(page)
            found["views"][name] = look
            if name == "light":
                found["pdf_bytes"] = len(page.pdf())
            if keep := os.environ.get("IPW_KEEP_PAGES"):
                page.screenshot(path=f"{keep}/{Path(path).parent.name}-{name}.png", full_page=True)
            context.close()
        browser.close()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
