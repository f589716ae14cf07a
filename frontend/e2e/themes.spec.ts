import type { Page } from "@playwright/test";

import { violations } from "./barriers";
import { sample } from "./samples";
import { expect, test } from "./app";

const ground = (page: Page): Promise<string> =>
  page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const LIGHT = "rgb(238, 241, 244)";
const DARK = "rgb(10, 13, 16)";

test("light or dark is as the system says, until a person says otherwise", async ({ app, page }) => {
  await page.emulateMedia({ colorScheme: "light" });
  await app.open();
  expect(await ground(page)).toBe(LIGHT);
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await ground(page)).toBe(DARK);
  await page.keyboard.press("?");
  const appearance = page.getByRole("combobox", { name: "Appearance" });
  await appearance.selectOption("light");
  expect(await ground(page)).toBe(LIGHT);
  await page.reload();
  await expect(app.list).toBeVisible();
  expect(await ground(page)).toBe(LIGHT);
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`the ${colorScheme} page has no barriers, with everything unfolded`, async ({ app, page }) => {
    const { id } = await app.sent(sample());
    await page.emulateMedia({ colorScheme });
    await app.open();
    await expect(page.getByRole("list", { name: "Inference services" })).toBeVisible();
    expect(await violations(page)).toEqual([]);
    await app.open(`/studies/${id}`);
    await app.showsStudy();
    await app.result.getByText("Patient and file").click();
    await app.result.getByRole("button", { name: "All 14 findings" }).click();
    await app.result.getByText("Models and timings").click();
    await page.keyboard.press("o");
    await expect(page.getByRole("slider", { name: "Left border of the heart" })).toBeVisible();
    await app.result.getByRole("button", { name: /: hernia$/ }).first().click();
    await expect(page.locator('[data-layer="heat map"]')).toHaveAttribute("data-phase", "shown");
    expect(await violations(page)).toEqual([]);
    // The image itself stays in the dark.
    expect(await app.viewport.evaluate((element) => getComputedStyle(element).colorScheme)).toBe("dark");
    await page.keyboard.press("?");
    await expect(page.getByRole("dialog")).toBeVisible();
    expect(await violations(page)).toEqual([]);
  });
}

test("in forced colours what is chosen is outlined, and nothing moves for whoever wants that", async ({ app, page }) => {
  const { id } = await app.sent(sample());
  await page.emulateMedia({ forcedColors: "active", reducedMotion: "reduce" });
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  const names = page.getByRole("button", { name: "Show names on the image" });
  await expect(names).toHaveAttribute("aria-pressed", "true");
  expect(await names.evaluate((element) => getComputedStyle(element).outlineStyle)).toBe("solid");
  expect(await names.evaluate((element) => getComputedStyle(element).transitionDuration)).toBe("0s");
  expect(await violations(page)).toEqual([]);
});
