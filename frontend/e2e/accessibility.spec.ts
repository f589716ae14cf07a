import { overflows, violations } from "./barriers";
import { asUpload, dicomFile, sample } from "./samples";
import { expect, test } from "./app";

test("the start page has no barriers", async ({ app, page }) => {
  await app.open();
  await expect(page.getByRole("list", { name: "Inference services" })).toBeVisible();
  await expect(app.examples).toBeVisible();
  expect(await violations(page)).toEqual([]);
});

test("an analysed study has no barriers, with everything unfolded", async ({ app, page }) => {
  const { id } = await app.sent(sample());
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  expect(await violations(page)).toEqual([]);
  await app.result.getByText("Patient and file").click();
  await app.result.getByRole("button", { name: "All 14 findings" }).click();
  await app.result.getByText("Models and timings").click();
  await app.result.getByRole("button", { name: /: hernia$/ }).first().click();
  await expect(page.locator('[data-layer="heat map"]')).toHaveAttribute("data-phase", "shown");
  expect(await violations(page)).toEqual([]);
});

test("a rejected study and a refused file have no barriers", async ({ app, page, watch }) => {
  watch.expectRefusal(415, /\/api\/v1\/studies$/);
  const { id } = await app.sent(dicomFile("RG3_UNCI.dcm"));
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

test("the image is two keys away, and the focus returns to where it was", async ({ app, page }) => {
  const { id } = await app.sent(sample());
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "To the image" })).toBeFocused();
  expect(await violations(page)).toEqual([]);
  await page.keyboard.press("Enter");
  await expect(app.viewport).toBeFocused();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(app.viewport).toBeFocused();
});

test("a turned image, the report and the agreement page have no barriers", async ({ app, page }) => {
  const { id } = await app.sent(sample());
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  await page.keyboard.press("q");
  await page.keyboard.press("f");
  await app.result.getByRole("button", { name: "Report" }).click();
  await expect(app.result.getByRole("form", { name: "Report" })).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await page.getByRole("link", { name: "Agreement" }).click();
  await expect(page.getByRole("heading", { name: "Agreement" })).toBeVisible();
  await expect(page.getByText("Counting…")).toHaveCount(0);
  expect(await violations(page)).toEqual([]);
});

test.describe("at twice the size", () => {
  // 1280 by 1024 pixels at 200%.
  test.use({ viewport: { width: 640, height: 512 } });

  test("nothing sticks out, and the image and the result are both reached", async ({ app, page }) => {
    const { id } = await app.sent(sample());
    await app.open(`/studies/${id}`);
    await app.showsStudy();
    expect(await overflows(page)).toBe(false);
    expect((await app.viewport.boundingBox())?.height).toBeGreaterThan(180);
    await app.result.getByText("Models and timings").scrollIntoViewIfNeeded();
    await expect(app.result.getByText("Models and timings")).toBeInViewport();
  });
});

test.describe("at the first visit", () => {
  test.use({ isFirstVisit: true });

  test("the notice has no barriers, must be accepted, and comes once", async ({ app, page }) => {
    await app.open();
    const notice = page.getByRole("dialog", { name: "Research use, not a medical device" });
    await expect(notice).toBeVisible();
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await expect(notice).toBeVisible();
    await notice.getByRole("button", { name: "I understand" }).click();
    await expect(notice).toHaveCount(0);
    const again = page.getByRole("button", { name: "Read the notice again" });
    await again.click();
    await expect(notice).toContainText("It misses findings");
    await page.keyboard.press("Escape");
    await expect(notice).toHaveCount(0);
    await expect(again).toBeFocused();
    await page.reload();
    await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
    await expect(notice).toHaveCount(0);
    await expect(page.getByRole("contentinfo")).toContainText("Research use, not a medical device");
  });
});

test.describe("where the list lies over the study", () => {
  test.use({ viewport: { width: 820, height: 1180 } });

  test("it comes when asked for, and goes when a study is chosen", async ({ app, page }) => {
    const { id } = await app.sent(sample());
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
      const { id } = await app.sent(sample());
      await app.open();
      await expect(page.getByText("Drop chest radiographs here")).toBeVisible();
      await app.example("Mass").scrollIntoViewIfNeeded();
      await expect(app.example("Mass")).toBeInViewport({ ratio: 1 });
      expect(await overflows(page)).toBe(false);
      await app.open(`/studies/${id}`);
      await app.showsStudy();
      expect(await overflows(page)).toBe(false);
      await expect(app.result.getByRole("region", { name: "Priority" })).toBeInViewport();
      const frame = await app.viewport.boundingBox();
      expect(frame?.width).toBeGreaterThan(380);
      // Held upright, the radiograph itself has most of the width.
      const { width, height } = screen.viewport;
      if (height > width) {
        expect((await app.radiograph.boundingBox())?.width).toBeGreaterThan(0.7 * width);
      }
      expect(frame?.height).toBeGreaterThan(300);
      await expect(page.getByRole("button", { name: "Analyse files" })).toBeInViewport();
      await expect(page.getByRole("slider", { name: "Opacity" })).toBeInViewport();
      expect(await violations(page)).toEqual([]);
    });
  });
}
