"""Visits of the map page in a real browser, and what each visitor needs of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from playwright.sync_api import BrowserContext, Page, expect

LIMIT_MS = 60_000
"""A busy machine is no failed test."""
expect.set_options(timeout=LIMIT_MS)
INTERACTIVE = {"button", "checkbox", "combobox", "link", "slider", "spinbutton", "textbox", "application"}
SHOWN_TEXTS = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const text = walker.currentNode.data.trim();
        if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
        const grounds = [];
        for (let at = element; at !== null; at = at.parentElement)
            grounds.push(getComputedStyle(at).backgroundColor);
        const { color, fontSize, fontWeight } = getComputedStyle(element);
        found.push({ text, color, grounds, size: parseFloat(fontSize), weight: Number(fontWeight) });
    }
    return found;
}"""
"""Every text that is shown, with its colour and the grounds of its element and of those around it."""
BROKEN = """() => {
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    const broken = ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `id ${id} comes twice`);
    for (const name of ["for", "aria-labelledby", "aria-describedby", "aria-controls"])
        for (const element of document.querySelectorAll(`[${name}]`))
            for (const id of element.getAttribute(name).split(/\\s+/))
                if (!ids.includes(id)) broken.push(`${name} names ${id}, which is not there`);
    let level = 0;
    for (const { tagName } of document.querySelectorAll("h1, h2, h3, h4")) {
        if (Number(tagName[1]) > level + 1) broken.push(`${tagName} follows level ${level}`);
        level = Number(tagName[1]);
    }
    for (const element of document.querySelectorAll("button, a, select, input")) {
        if (!element.checkVisibility()) continue;
        const target = element.type === "checkbox" ? element.closest("label") : element;
        const box = target.getBoundingClientRect();
        if (element.className !== "skip" && Math.min(box.width, box.height) < 24)
            broken.push(`${element.id || element.textContent} is ${box.width} x ${box.height}`);
        element.focus();
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        if (document.activeElement === element && (outlineStyle === "none" || parseFloat(outlineWidth) < 2))
            broken.push(`the focus on ${element.id || element.textContent} is not seen`);
    }
    if (document.documentElement.scrollWidth > innerWidth) broken.push("the page is wider than its window");
    return broken;
}"""
"""What WCAG 2.2 asks for beside names and contrasts: 1.3.1, 1.4.10, 2.4.7, 2.5.8, 4.1.2."""


@attrs.frozen
class Visit:
    """The page as one visitor has it, and what the browser asked for and complained of."""

    page: Page
    url: str
    requests: list[str]
    complaints: list[str]

    @property
    def elsewhere(self) -> list[str]:
        """The requests that went to another server."""
        ours = (f"{self.url}/", "data:")  # Leaflet's empty picture
        return [asked for asked in self.requests if not asked.startswith(ours)]


@contextmanager
def visiting(context: BrowserContext, url: str) -> Iterator[Visit]:
    """A visit, in which nothing is asked of another server and nothing is complained of."""
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    visited = Visit(page, url, [], [])
    page.on("request", lambda request: visited.requests.append(request.url))
    page.on("console", lambda message: visited.complaints.append(message.text))
    page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    page.goto(url)
    expect(page.locator("body")).to_have_attribute("data-ready", "yes")
    yield visited
    page.close()
    assert visited.elsewhere == []
    assert visited.complaints == []


def hindrances(page: Page) -> list[str]:
    """What of the page as it is shown keeps a visitor out: names, contrasts, references, sizes."""
    tree: Any = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    found = [
        f"a {node['role']['value']} has no name"
        for node in tree["nodes"]
        if not node["ignored"]
        and node["role"]["value"] in INTERACTIVE
        and not node.get("name", {}).get("value", "").strip()
    ]
    texts = page.evaluate(SHOWN_TEXTS)
    assert len(texts) > 40
    for text in texts:
        least = 3.0 if text["size"] >= 24 or (text["size"] >= 18.66 and text["weight"] >= 700) else 4.5
        ground = next(each for each in text["grounds"] if not each.endswith(", 0)"))
        if (reached := contrast(text["color"], ground)) < least:
            found.append(f"{text['text']!r} has a contrast of {reached:.1f}")
    page.keyboard.press("Tab")  # from now on a browser shows the focus
    broken: list[str] = page.evaluate(BROKEN)
    return found + broken


def contrast(colour: str, ground: str) -> float:
    """The contrast of two colours (WCAG 2.2), which are opaque."""
    first, second = luminance(colour), luminance(ground)
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour (WCAG 2.2)."""
    numbers = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert numbers is not None, colour
    channels = [int(part) / 255 for part in numbers.groups()]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
