import type { StudyPage } from "../src/api/schema";
import { film, sample } from "./films";
import { expect, test } from "./reader";

const RANKS = ["urgent", "soon", "routine", null];

test.beforeEach(async ({ reader }) => {
  await reader.send(sample());
  await reader.send(film("RG3_UNCI.dcm"));
});

test("earlier studies are listed most urgent first, and a reload keeps them", async ({ reader, page, request }) => {
  await reader.open();
  const answer = await request.get("/api/v1/studies?limit=50");
  const { items } = (await answer.json()) as StudyPage;
  const ranks = items.map(({ triage }) => RANKS.indexOf(triage?.priority ?? null));
  expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
  expect(new Set(ranks).size).toBeGreaterThan(1);

  const rows = reader.list.locator("[data-study]");
  const shown = (): Promise<(string | undefined)[]> =>
    rows.evaluateAll((links) => links.map((link) => (link as HTMLElement).dataset["study"]));
  await expect(rows).toHaveCount(items.length);
  expect(await shown()).toEqual(items.map(({ id }) => id));
  await page.reload();
  await expect(rows).toHaveCount(items.length);
  expect(await shown()).toEqual(items.map(({ id }) => id));
});

test("a study has an address of its own, and the browser goes back from it", async ({ reader, page }) => {
  const { id } = await reader.send(sample());
  await reader.open(`/studies/${id}`);
  await reader.showsStudy();
  const row = reader.list.locator(`[data-study="${id}"]`);
  await expect(row).toHaveAttribute("aria-current", "page");
  await page.reload();
  await reader.showsStudy();

  const other = reader.list.locator('[data-tone="rejected"]').first();
  await other.click();
  await expect(reader.result).toContainText("Refused: not read");
  await page.goBack();
  await reader.showsStudy();
  expect(reader.openId()).toBe(id);
  await expect(reader.result).not.toContainText("Refused: not read");
});

test("the list is filtered by priority and by status", async ({ reader }) => {
  await reader.open();
  await reader.list.getByLabel("Status").selectOption("rejected");
  await expect(reader.list.locator('[data-tone="rejected"]').first()).toBeVisible();
  await expect(reader.list.locator('[data-study]:not([data-tone="rejected"])')).toHaveCount(0);
  // A refused study has no priority: choosing one gives the status up.
  await reader.list.getByLabel("Priority").selectOption("urgent");
  await expect(reader.list.getByLabel("Status")).toHaveValue("");
  await expect(reader.list.locator('[data-study]:not([data-tone="urgent"])')).toHaveCount(0);
  await reader.list.getByLabel("Priority").selectOption("");
  await expect(reader.list.locator('[data-tone="rejected"]').first()).toBeVisible();
});

test("a list that is older than the study does not make the page ask for it for ever", async ({ reader, page }) => {
  const { id } = await reader.send(sample());
  let asked = 0;
  await page.route(`**/api/v1/studies/${id}`, async (route) => {
    asked += 1;
    await route.continue();
  });
  await page.route("**/api/v1/studies?*", async (route) => {
    const answer = await route.fetch();
    const list = (await answer.json()) as StudyPage;
    const items = list.items.map((study) => ({ ...study, status: "partial" }));
    await route.fulfill({ response: answer, json: { ...list, items } });
  });
  await reader.open(`/studies/${id}`);
  await reader.showsStudy();
  await expect(reader.list.locator(`[data-study="${id}"]`)).toContainText("partial");
  // Each answer of the list may ask once more: two, and the one that opened the study.
  const answered = page.waitForResponse(/studies\?.*status=partial/);
  await reader.list.getByLabel("Status").selectOption("partial");
  await answered;
  await expect(reader.list.getByRole("status")).toContainText("studies");
  expect(asked).toBeLessThanOrEqual(4);
  await page.unrouteAll({ behavior: "wait" });
});

test("an unknown study is said to be unknown", async ({ reader, page, watch }) => {
  const path = `/studies/${"0".repeat(26)}`;
  watch.expectRefusal(404, /\/api\/v1\/studies\/0{26}$/);
  await reader.open(path);
  const region = page.getByRole("region", { name: "Study" });
  await expect(region.getByRole("alert")).toBeVisible();
  await region.getByRole("button", { name: "To the start page" }).click();
  await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
});
