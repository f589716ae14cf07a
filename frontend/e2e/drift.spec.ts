import type { DriftReport } from "../src/api/schema";
import { violations } from "./barriers";
import { sample } from "./samples";
import { expect, test } from "./app";

test("the drift page is reached from the header and says what the gateway says", async ({ app, page, request }) => {
  await app.sent(sample());
  await app.open();
  await page.getByRole("link", { name: "Drift" }).click();
  await expect(page).toHaveURL(/\/drift$/);
  const response = await request.get("/api/v1/drift?weeks=12");
  const { summary, statistics, weeks } = (await response.json()) as DriftReport;
  await expect(page.getByText(summary)).toBeVisible();
  await expect(page.locator("[data-statistic]")).toHaveCount(statistics.length);
  expect(statistics).toHaveLength(22);
  expect(weeks.at(-1)?.images).toBeGreaterThan(0);
  await page.goBack();
  await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
});

test("charts have their numbers beside them, and the keyboard reaches everything", async ({ app, page }) => {
  await app.sent(sample());
  await app.open("/drift");
  const mass = page.locator('[data-statistic="Mass"]');
  await expect(mass.getByRole("img", { name: /^Mass/ })).toHaveCount(2);
  await mass.getByText("Numbers").focus();
  await page.keyboard.press("Enter");
  await expect(mass.getByRole("table")).toHaveCount(2);
  await expect(mass.getByRole("row", { name: /^\d{4}-W\d{2}/ })).toHaveCount(12);
  await page.getByRole("region", { name: "Drift" }).getByRole("combobox").focus();
  await page.keyboard.press("Home");
  await expect(mass).toContainText("0 images");
  expect(await violations(page)).toEqual([]);
});

for (const viewport of [
  { width: 1440, height: 900 },
  { width: 820, height: 1180 },
]) {
  test.describe(`at ${viewport.width} pixels`, () => {
    test.use({ viewport });

    test("nothing of it sticks out", async ({ app, page }) => {
      await app.open("/drift");
      await expect(page.getByRole("heading", { name: "Drift", level: 2 })).toBeVisible();
      expect(await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)).toBe(false);
    });
  });
}
