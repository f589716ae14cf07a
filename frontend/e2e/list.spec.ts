import type { StudyPage } from "../src/api/schema";
import { dicomFile, sample } from "./samples";
import { expect, test } from "./app";

const RANKS = ["urgent", "soon", "routine", null];

test.beforeEach(async ({ app }) => {
  await app.send(sample());
  await app.send(dicomFile("RG3_UNCI.dcm"));
});

test("earlier studies are listed most urgent first, and a reload keeps them", async ({ app, page, request }) => {
  await app.open();
  const response = await request.get("/api/v1/studies?limit=50");
  const { items } = (await response.json()) as StudyPage;
  const ranks = items.map(({ triage }) => RANKS.indexOf(triage?.priority ?? null));
  expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
  expect(new Set(ranks).size).toBeGreaterThan(1);

  const rows = app.list.locator("[data-study]");
  const shown = (): Promise<(string | undefined)[]> =>
    rows.evaluateAll((links) => links.map((link) => (link as HTMLElement).dataset["study"]));
  await expect(rows).toHaveCount(items.length);
  expect(await shown()).toEqual(items.map(({ id }) => id));
  await page.reload();
  await expect(rows).toHaveCount(items.length);
  expect(await shown()).toEqual(items.map(({ id }) => id));
});

test("a study has an address of its own, and the browser goes back from it", async ({ app, page }) => {
  const { id } = await app.send(sample());
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  const row = app.list.locator(`[data-study="${id}"]`);
  await expect(row).toHaveAttribute("aria-current", "page");
  await page.reload();
  await app.showsStudy();

  const other = app.list.locator('[data-tone="rejected"]').first();
  await other.click();
  await expect(app.result).toContainText("Rejected: not analysed");
  await page.goBack();
  await app.showsStudy();
  expect(app.openId()).toBe(id);
  await expect(app.result).not.toContainText("Rejected: not analysed");
});

test("the list is filtered by priority and by status", async ({ app }) => {
  await app.open();
  await app.list.getByLabel("Status").selectOption("rejected");
  await expect(app.list.locator('[data-tone="rejected"]').first()).toBeVisible();
  await expect(app.list.locator('[data-study]:not([data-tone="rejected"])')).toHaveCount(0);
  // A refused study has no priority: choosing one gives the status up.
  await app.list.getByLabel("Priority").selectOption("urgent");
  await expect(app.list.getByLabel("Status")).toHaveValue("");
  await expect(app.list.locator('[data-study]:not([data-tone="urgent"])')).toHaveCount(0);
  await app.list.getByLabel("Priority").selectOption("");
  await expect(app.list.locator('[data-tone="rejected"]').first()).toBeVisible();
});

test("a list that is older than the study does not make the page ask for it for ever", async ({ app, page }) => {
  const { id } = await app.send(sample());
  let asked = 0;
  await page.route(`**/api/v1/studies/${id}`, async (route) => {
    asked += 1;
    await route.continue();
  });
  await page.route("**/api/v1/studies?*", async (route) => {
    const response = await route.fetch();
    const list = (await response.json()) as StudyPage;
    const items = list.items.map((study) => ({ ...study, status: "partial" }));
    await route.fulfill({ response: response, json: { ...list, items } });
  });
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  await expect(app.list.locator(`[data-study="${id}"]`)).toContainText("partial");
  // Each response of the list may ask once more: two, and the one that opened the study.
  const answered = page.waitForResponse(/studies\?.*status=partial/);
  await app.list.getByLabel("Status").selectOption("partial");
  await answered;
  await expect(app.list.getByRole("status")).toContainText("studies");
  expect(asked).toBeLessThanOrEqual(4);
  await page.unrouteAll({ behavior: "wait" });
});

test("an unknown study is reported as unknown", async ({ app, page, watch }) => {
  const path = `/studies/${"0".repeat(26)}`;
  watch.expectRefusal(404, /\/api\/v1\/studies\/0{26}$/);
  await app.open(path);
  const region = page.getByRole("region", { name: "Study" });
  await expect(region.getByRole("alert")).toBeVisible();
  await region.getByRole("button", { name: "To the start page" }).click();
  await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
});
