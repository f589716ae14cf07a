/**
 * Takes the screenshot of the drift page: `python -m benchmarks.drift --screenshot docs/drift.png`.
 *
 * CXR_BASE_URL: where the system runs. CXR_SCREENSHOT: the file to write. CXR_CHROMIUM: the browser.
 */

import { writeFileSync } from "node:fs";

import { chromium } from "@playwright/test";

const { CXR_BASE_URL, CXR_CHROMIUM, CXR_SCREENSHOT } = process.env;

if (CXR_BASE_URL === undefined || CXR_SCREENSHOT === undefined) {
  throw new Error("CXR_BASE_URL and CXR_SCREENSHOT must be set; benchmarks.drift does so");
}

const browser = await chromium.launch({
  executablePath: CXR_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
});
try {
  const page = await browser.newPage({ baseURL: CXR_BASE_URL, viewport: { width: 1440, height: 900 } });
  await page.addInitScript(() => {
    window.localStorage.setItem('cxr.notice-accepted ["local","local",null]', "true");
    // No radiograph, and no name of one, in the screenshot.
    window.localStorage.setItem("cxr.list-shown", "false");
  });
  await page.goto("/drift");
  await page.locator("[data-statistic]").first().waitFor();
  const screenshot = await page.screenshot();
  writeFileSync(CXR_SCREENSHOT, screenshot);
  process.stdout.write(`${CXR_SCREENSHOT}: ${Math.round(screenshot.length / 1000)} kB\n`);
} finally {
  await browser.close();
}
