import type { StudyPage } from "../src/api/schema";
import { dicomFile, sample, unseenSample } from "./samples";
import { expect, test } from "./app";

test.beforeEach(async ({ app }) => {
  await app.sent(sample());
  await app.sent(dicomFile("RG3_UNCI.dcm"));
});

test("studies are listed in the gateway's order, and a reload keeps them", async ({ app, page, request }) => {
  await app.open();
  const response = await request.get("/api/v1/studies?limit=50");
  const { items } = (await response.json()) as StudyPage;
  const rows = app.list.locator("[data-study]");
  const shown = (): Promise<(string | undefined)[]> =>
    rows.evaluateAll((links) => links.map((link) => (link as HTMLElement).dataset["study"]));
  // Only those in sight are in the document.
  const expected = items.map(({ id }) => id).slice(0, 5);
  expect(expected.length).toBeGreaterThan(1);
  await expect.poll(async () => (await shown()).slice(0, 5)).toEqual(expected);
  await page.reload();
  await expect.poll(async () => (await shown()).slice(0, 5)).toEqual(expected);
});

test("a study has an address of its own, and the browser goes back from it", async ({ app, page }) => {
  const { id } = await app.sent(sample());
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
  const { id } = await app.sent(sample());
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
  await expect(app.list.getByRole("status")).toContainText("stud");
  expect(asked).toBeLessThanOrEqual(4);
  await page.unrouteAll({ behavior: "wait" });
});

test("an unknown study is reported as unknown", async ({ app, page, watch }) => {
  const path = `/studies/${"0".repeat(26)}`;
  watch.expectRefusal(404, /\/api\/v1\/studies\/0{26}$/);
  await app.open(path);
  const gone = page.getByRole("region", { name: "Study" }).getByRole("alert");
  await expect(gone).toContainText("There is no such study");
  await expect(gone).toContainText("It was deleted, it is another department's, or its address is mistyped.");
  await page.getByRole("button", { name: "Back to the list" }).click();
  await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
  await expect(app.list).toBeVisible();
});

test("a study that is deleted while it is looked at goes from the page, and says so", async ({ app, page, request, watch }) => {
  const { id } = await app.send(unseenSample("deleted.dcm"));
  watch.expectRefusal(404, new RegExp(`/api/v1/studies/${id}`));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  expect((await request.delete(`/api/v1/studies/${id}`)).status()).toBe(204);
  const region = page.getByRole("region", { name: "Study" });
  await expect(region.getByRole("alert")).toContainText("There is no such study");
  await expect(app.result).toHaveCount(0);
  await expect(app.radiograph).toHaveCount(0);
  await expect(app.list.locator(`[data-study="${id}"]`)).toHaveCount(0);
  await page.reload();
  await expect(region.getByRole("alert")).toContainText("There is no such study");
  await region.getByRole("button", { name: "Back to the list" }).click();
  await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
});
