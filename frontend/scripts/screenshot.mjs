/**
 * Takes the README's screenshot: the page with the public sample radiograph, analysed by the running system.
 *
 *     CXR_SAMPLE=.../RG1_UNCI.dcm npm run screenshot
 *
 * CXR_BASE_URL: where the system runs (default http://127.0.0.1:8000). CXR_CHROMIUM: the browser.
 * CXR_SCREENSHOT: the file to write (default docs/screenshot.png).
 */

import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "@playwright/test";

const { CXR_SAMPLE, CXR_CHROMIUM, CXR_SCREENSHOT } = process.env;
const baseURL = process.env.CXR_BASE_URL ?? "http://127.0.0.1:8000";
const target = CXR_SCREENSHOT ?? fileURLToPath(new URL("../../docs/screenshot.png", import.meta.url));

if (CXR_SAMPLE === undefined) {
  throw new Error("CXR_SAMPLE must name the public radiograph, pydicom-data's RG1_UNCI.dcm");
}

const browser = await chromium.launch({
  executablePath: CXR_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
});
try {
  const page = await browser.newPage({ baseURL, viewport: { width: 1440, height: 900 } });
  await page.addInitScript(() => window.localStorage.setItem("cxr.notice-accepted", "true"));
  const file = { name: basename(CXR_SAMPLE), mimeType: "application/dicom", buffer: readFileSync(CXR_SAMPLE) };
  const answer = await page.request.post("/api/v1/studies", { multipart: { file } });
  const { id } = await answer.json();
  await page.goto(`/studies/${id}`);
  await page.locator('[data-layer="radiograph"][data-phase="shown"]').waitFor();
  await page.locator(`[data-study="${id}"]`).waitFor();
  const screenshot = await page.screenshot();
  writeFileSync(target, screenshot);
  process.stdout.write(`${target}: ${Math.round(screenshot.length / 1000)} kB\n`);
} finally {
  await browser.close();
}
