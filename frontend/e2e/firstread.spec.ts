import type { FirstReads, Me } from "../src/api/schema";
import { unseenSample } from "./samples";
import { expect, test } from "./app";

// The shared system asks nobody; here it says that it does.
test.beforeEach(async ({ page }) => {
  await page.route("**/api/v1/me", async (route) => {
    const response = await route.fetch();
    const me = (await response.json()) as Me;
    await route.fulfill({ response, json: { ...me, reads_first: true } });
  });
});

test("an image is read blind, the first opinion is kept, then the answers are shown", async ({ app, page }) => {
  const study = await app.send(unseenSample("blind.dcm"));
  await app.send(unseenSample("blind-before.dcm"));
  await app.open(`/studies/${study.id}`);
  await app.showsStudy();
  const form = app.result.getByRole("region", { name: "What do you see?" });
  await expect(form).toBeVisible();
  // Nothing tells what the models say.
  await expect(app.boxes).toHaveCount(0);
  await expect(app.result.getByRole("region", { name: "Priority" })).toHaveCount(0);
  await expect(app.result).not.toContainText("%");
  await expect(page.locator("#download-overlay")).toHaveCount(0);
  await expect(page.locator('[data-layer="heat map"]')).toHaveCount(0);
  await expect(app.list.locator(`[data-study="${study.id}"]`)).toContainText("To be read");
  const row = app.list.locator(`[data-study="${study.id}"]`);
  await expect(row).toContainText("Read first");
  // Nor does a colour, or the row of the same patient's other image.
  await expect(row).toHaveAttribute("data-tone", "blind");
  await page.keyboard.press("p");
  const others = app.result.getByRole("region", { name: "Other images of this patient" });
  await expect(others.getByRole("status")).toHaveText("By the same patient ID and issuer.");
  await expect(app.result).not.toContainText("%");
  await expect(page.locator("[data-prior]")).not.toContainText(/urgent|soon|routine|likely|possible|%/iu);
  await page.keyboard.press("p");

  await form.getByLabel("Effusion").check();
  await form.getByRole("textbox", { name: "Comment" }).fill("left base");
  await form.getByRole("button", { name: "Keep this and show the answers" }).click();
  await expect(app.result.getByRole("region", { name: "Priority" })).toBeVisible();
  await expect(app.boxes).toHaveCount(study.boxes.length);
  const section = app.result.getByRole("region", { name: "First opinions" });
  await expect(section).toContainText("Effusion by you");

  const kept = (await (await page.request.get(`/api/v1/studies/${study.id}/first-read`)).json()) as FirstReads;
  expect(kept.reads).toMatchObject([{ findings: ["Effusion"], comment: "left base", mine: true }]);
  expect(kept.reads[0]?.shown.map(({ finding }) => finding).sort()).toEqual(
    study.findings.map(({ finding }) => finding).sort(),
  );
  await page.reload();
  await app.showsStudy();
  await expect(section).toContainText("left base");
  await page.goto("/agreement");
  await expect(page.getByRole("table", { name: /^First opinions/ })).toContainText("Effusion");
});

test("a study is assigned to a name, and found as assigned", async ({ app, page }) => {
  const { id } = await app.send(unseenSample("assigned.dcm"));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  const bar = app.result.getByRole("region", { name: "Worklist" });
  await expect(bar).toContainText("Opened");
  await bar.getByRole("button", { name: "Assign…" }).click();
  await bar.getByLabel("To").fill("Dr. Roe");
  await page.keyboard.press("Enter");
  await expect(bar).toContainText("Assigned to Dr. Roe");
  await app.list.getByLabel("State").selectOption("assigned");
  await expect(app.list.locator("[data-study]")).toHaveCount(1);
  await expect(app.list.locator(`[data-study="${id}"]`)).toContainText("assigned to Dr. Roe");
  const kept = (await (await page.request.get(`/api/v1/studies/${id}/worklist`)).json()) as { to: string };
  expect(kept.to).toBe("Dr. Roe");
});
