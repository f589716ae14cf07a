import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { asUpload, dicomFile, sample } from "./samples";
import { expect, test } from "./app";

const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** As sentences, so that a failure says what is wrong where. */
async function violations(page: Page): Promise<string[]> {
  const { violations: found } = await new AxeBuilder({ page }).withTags(WCAG).analyze();
  return found.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${help} at ${target.join(" ")} ${failureSummary ?? ""}`),
  );
}

async function overflows(page: Page): Promise<boolean> {
  return page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
}

test("the start page has no barriers", async ({ app, page }) => {
  await app.open();
  await expect(page.getByRole("list", { name: "Inference services" })).toBeVisible();
  await expect(app.examples).toBeVisible();
  expect(await violations(page)).toEqual([]);
});

test("an analysed study has no barriers, with everything unfolded", async ({ app, page }) => {
  const { id } = await app.send(sample());
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  expect(await violations(page)).toEqual([]);
  await app.result.getByText("Patient and file").click();
  await app.result.getByRole("button", { name: "All 14 findings" }).click();
  await app.result.getByText("Models and timings").click();
  await page.keyboard.press("h");
  await expect(page.locator('[data-layer="heat map"]')).toHaveAttribute("data-phase", "shown");
  expect(await violations(page)).toEqual([]);
});

test("a rejected study and a refused file have no barriers", async ({ app, page, watch }) => {
  watch.expectRefusal(415, /\/api\/v1\/studies$/);
  const { id } = await app.send(dicomFile("RG3_UNCI.dcm"));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  await app.choose([asUpload("notes.txt", Buffer.from("Only words."))]);
  await expect(app.tray.getByRole("alert")).toBeVisible();
  expect(await violations(page)).toEqual([]);
});

test("an example that cannot be fetched is reported without barriers", async ({ app, page, watch }) => {
  watch.expectRefusal(404, /\/examples\/synthetic-mass\.png$/);
  await app.open();
  await app.showsExamples();
  await page.route("**/examples/synthetic-mass.png", (route) => route.fulfill({ status: 404 }));
  await app.example("Mass").click();
  await expect(app.examples.getByRole("alert")).toHaveText(
    "The example could not be fetched. The gateway answered with status 404.",
  );
  await expect(app.tray).toHaveCount(0);
  expect(await violations(page)).toEqual([]);
});

test("the help has no barriers", async ({ app, page }) => {
  await app.open();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog")).toBeVisible();
  expect(await violations(page)).toEqual([]);
});

test.describe("at the first visit", () => {
  test.use({ storageState: { cookies: [], origins: [] } });

  test("the notice has no barriers, must be accepted, and comes once", async ({ app, page }) => {
    await app.open();
    const notice = page.getByRole("dialog", { name: "Research use, not a medical device" });
    await expect(notice).toBeVisible();
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await expect(notice).toBeVisible();
    await notice.getByRole("button", { name: "I understand" }).click();
    await expect(notice).toHaveCount(0);
    await page.reload();
    await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
    await expect(notice).toHaveCount(0);
    await expect(page.getByRole("contentinfo")).toContainText("Research use, not a medical device");
  });
});

test.describe("where the list lies over the study", () => {
  test.use({ viewport: { width: 820, height: 1180 } });

  test("it comes when asked for, and goes when a study is chosen", async ({ app, page }) => {
    const { id } = await app.send(sample());
    await app.open();
    await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
    await expect(app.list).toHaveCount(0);
    await page.getByRole("button", { name: "Show the list of studies" }).click();
    expect(await violations(page)).toEqual([]);
    await app.list.locator(`[data-study="${id}"]`).click();
    await app.showsStudy();
    await expect(app.list).toHaveCount(0);
  });
});

/** Fingers instead of a mouse: the controls grow. */
const TOUCH = { hasTouch: true, isMobile: true };

for (const [name, screen] of [
  ["a small screen", { viewport: { width: 1024, height: 768 } }],
  ["a tablet held upright", { viewport: { width: 820, height: 1180 }, ...TOUCH }],
  ["a tablet held sideways", { viewport: { width: 1180, height: 820 }, ...TOUCH }],
] as const) {
  test.describe(`on ${name}`, () => {
    test.use(screen);

    test("everything is in reach and nothing sticks out", async ({ app, page }) => {
      const { id } = await app.send(sample());
      await app.open();
      await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
      await app.example("Consolidation").scrollIntoViewIfNeeded();
      await expect(app.example("Consolidation")).toBeInViewport({ ratio: 1 });
      expect(await overflows(page)).toBe(false);
      await app.open(`/studies/${id}`);
      await app.showsStudy();
      expect(await overflows(page)).toBe(false);
      await expect(app.result.getByRole("region", { name: "Priority" })).toBeInViewport();
      const frame = await app.viewport.boundingBox();
      expect(frame?.width).toBeGreaterThan(380);
      expect(frame?.height).toBeGreaterThan(300);
      await expect(page.getByRole("button", { name: "Analyse files" })).toBeInViewport();
      await expect(page.getByRole("slider", { name: "Opacity" })).toBeInViewport();
      expect(await violations(page)).toEqual([]);
    });
  });
}
