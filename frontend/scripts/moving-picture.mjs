/**
 * Takes the pictures of the README's moving picture: a radiograph on its way over the page, as a person
 * sends and reads it. `python -m deploy.moving_picture` makes one file of them.
 *
 *     node scripts/moving-picture.mjs FOLDER URL
 *
 * FOLDER gets `NN-MILLISECONDS.png`. CXR_CHROMIUM: the browser. The system at URL has no study yet.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "@playwright/test";

const [folder, baseURL] = process.argv.slice(2);
if (folder === undefined || baseURL === undefined) {
  throw new Error("usage: moving-picture.mjs FOLDER URL");
}
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CXR_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--disable-background-networking"],
});
try {
  const page = await browser.newPage({ baseURL, viewport: { width: 1200, height: 750 }, colorScheme: "dark" });
  await page.addInitScript(() => {
    window.localStorage.setItem('cxr.notice-accepted ["local","local",null]', "true");
  });
  page.setDefaultTimeout(120_000);
  let number = 0;
  const show = async (milliseconds) => {
    const name = `${String(number).padStart(2, "0")}-${milliseconds}.png`;
    number += 1;
    await page.screenshot({ path: join(folder, name) });
  };

  await page.goto("/");
  const example = page.getByRole("button", { name: "Analyse a synthetic radiograph: Effusion", exact: true });
  await example.waitFor();
  await page.waitForFunction(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0));
  await show(1800);
  await example.hover();
  await show(700);
  await example.click();
  await page.locator('[data-layer="radiograph"][data-phase="shown"]').waitFor();
  await page.getByRole("complementary", { name: "Result" }).waitFor();
  await show(3000);

  // Words first: the boxes and the map come by a key each, then the map of another finding.
  const box = page.locator("rect[data-finding]").first();
  await page.keyboard.press("b");
  await box.waitFor();
  await show(2500);
  await page.keyboard.press("b");
  await box.waitFor({ state: "detached" });
  await page.keyboard.press("h");
  await page.locator('[data-layer="heat map"][data-phase="shown"]').waitFor();
  await show(2500);
  await page.getByRole("combobox", { name: "Map of" }).selectOption("Atelectasis");
  await page.locator('[data-layer="heat map"][data-phase="shown"][src*="Atelectasis"]').waitFor();
  await show(1800);
} finally {
  await browser.close();
}
