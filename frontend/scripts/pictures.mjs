/**
 * Takes the documentation's pictures, as `python -m benchmarks.pictures` asks.
 *
 * CXR_BASE_URL: where the system runs. CXR_STUDY: the study that is opened; its patient has another.
 * CXR_PICTURES: the folder to write to. CXR_CHROMIUM: the browser.
 */

import { join } from "node:path";

import { chromium } from "@playwright/test";

const { CXR_BASE_URL, CXR_STUDY, CXR_PICTURES, CXR_CHROMIUM } = process.env;
if (CXR_BASE_URL === undefined || CXR_STUDY === undefined || CXR_PICTURES === undefined) {
  throw new Error("CXR_BASE_URL, CXR_STUDY and CXR_PICTURES must be set; benchmarks.pictures does so");
}

/** What docs/reading.md explains, by its number there, and where on the part the number stands. */
const PARTS = [
  ["#study-search", 0.75],
  ['[data-study][aria-current="page"]', 0.62],
  ['[aria-label="Image tools"]', 0.21],
  ['[role="application"]', 0.5],
  ["section[data-priority]", 0.6],
  ['[aria-labelledby="top-findings"] li', 0.94],
  ["select[aria-label='Window preset']", 0.8],
];

const browser = await chromium.launch({
  executablePath: CXR_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
});

async function opened(page) {
  await page.goto(`/studies/${CXR_STUDY}`);
  await page.locator('[data-layer="radiograph"][data-phase="shown"]').waitFor();
  await page.locator(`[data-study="${CXR_STUDY}"]`).waitFor();
}

async function take(page, name) {
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(CXR_PICTURES, name), animations: "disabled" });
}

try {
  const context = await browser.newContext({
    baseURL: CXR_BASE_URL,
    viewport: { width: 1440, height: 900 },
    colorScheme: "dark",
    locale: "en-GB",
    timezoneId: "UTC",
  });
  await context.addInitScript(() => {
    window.localStorage.setItem('cxr.notice-accepted ["local","local",null]', "true");
    window.localStorage.setItem("cxr.overlay-first", "true");
  });
  const page = await context.newPage();
  await opened(page);
  await take(page, "screenshot.png");

  await page.evaluate((parts) => {
    parts.forEach(([selector, share], index) => {
      const part = document.querySelector(selector);
      if (part === null) {
        throw new Error(`nothing is ${selector}`);
      }
      const { left, top, width, height } = part.getBoundingClientRect();
      const mark = document.createElement("span");
      mark.textContent = String(index + 1);
      Object.assign(mark.style, {
        ...{ position: "fixed", zIndex: "9999", width: "30px", height: "30px", borderRadius: "50%" },
        ...{ background: "#ffd23f", color: "#000", font: "700 17px/30px sans-serif", textAlign: "center" },
        ...{ left: `${left + width * share - 15}px`, top: `${Math.max(2, top + Math.min(height / 2, 22) - 15)}px` },
        boxShadow: "0 0 0 2px #000",
      });
      document.body.append(mark);
    });
  }, PARTS);
  await take(page, "reading-page.png");

  await opened(page);
  await page.keyboard.press("p");
  await page.locator("[data-prior] [data-phase='shown']").waitFor();
  await take(page, "reading-compared.png");
} finally {
  await browser.close();
}
