import type { Report, Review } from "../src/api/schema";
import { unseenSample } from "./samples";
import { expect, type App, test } from "./app";

async function reviewOf(app: App, id: string): Promise<Review> {
  const response = await app.page.request.get(`/api/v1/studies/${id}/review`);
  return (await response.json()) as Review;
}

/** Draws a box over a part of the viewport, given in shares of it. */
async function draw(app: App, from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  const frame = await app.viewport.boundingBox();
  if (frame === null) {
    throw new Error("the viewport is not laid out");
  }
  const place = ([x, y]: readonly [number, number]) => [frame.x + frame.width * x, frame.y + frame.height * y] as const;
  await app.page.mouse.move(...place(from));
  await app.page.mouse.down();
  await app.page.mouse.move(...place(to), { steps: 5 });
  await app.page.mouse.up();
}

test("an answer is accepted, what was missed is drawn, and the last word is taken back", async ({ app, page }) => {
  const { id, image, findings } = await app.send(unseenSample("review-one.dcm"));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  const [card] = await app.result.getByRole("group", { name: /^Review of/ }).all();
  const name = ((await card?.getAttribute("aria-label")) ?? "").replace("Review of ", "");
  const group = app.result.getByRole("group", { name: `Review of ${name}`, exact: true });
  await group.getByRole("button").first().click();
  await expect(group.getByRole("button").first()).toHaveAttribute("aria-pressed", "true");
  await expect.poll(async () => (await reviewOf(app, id)).entries.length).toBe(1);

  await app.viewport.focus();
  await page.keyboard.press("c");
  const form = app.result.getByRole("form", { name: "What was missed" });
  await expect(form.getByLabel("Finding")).toBeFocused();
  await form.getByLabel("Finding").selectOption("Fracture");
  await form.getByRole("button", { name: "Draw on the image" }).click();
  await draw(app, [0.45, 0.3], [0.6, 0.45]);
  await form.getByRole("textbox", { name: "Comment" }).fill("sixth rib");
  await form.getByRole("button", { name: "Keep" }).click();
  await expect.poll(async () => (await reviewOf(app, id)).entries.length).toBe(2);
  const added = (await reviewOf(app, id)).entries.at(-1);
  expect(added).toMatchObject({ verdict: "added", label: "Fracture", comment: "sixth rib" });
  const corners = added?.corners ?? null;
  expect(corners).not.toBeNull();
  expect(corners?.x_max).toBeLessThanOrEqual(image.width);
  expect(findings.length).toBeGreaterThan(0);

  // The reader's box lies where it was drawn, in the image's own pixels.
  const drawn = page.locator("[data-review] rect").last();
  await expect(drawn).toBeVisible();
  const [onScreen, radiograph] = [await drawn.boundingBox(), await app.radiograph.boundingBox()];
  const scale = (radiograph?.width ?? 0) / image.width;
  expect(onScreen?.x).toBeCloseTo((radiograph?.x ?? 0) + (corners?.x_min ?? 0) * scale, -1);

  await app.viewport.focus();
  await page.keyboard.press("z");
  await expect(page.locator("[data-review] rect")).toHaveCount(0);
  await expect
    .poll(async () => (await reviewOf(app, id)).entries.map(({ counts }) => counts))
    .toEqual([true, false]);
});

test("words that could not be sent are sent when the connection is back, after a reload too", async ({ app, page, watch }) => {
  const { id } = await app.send(unseenSample("review-lost.dcm"));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  watch.expectRefusal(502, /\/review\//);
  // A proxy whose gateway is away.
  await page.route(/\/review\/[0-9a-f-]{36}$/, (route) => route.fulfill({ status: 502, body: "<html>" }));
  const group = app.result.getByRole("group", { name: /^Review of/ }).first();
  await group.getByRole("button").first().click();
  await expect(app.result).toContainText("1 entry not sent yet");
  expect((await reviewOf(app, id)).entries).toEqual([]);
  await page.unroute(/\/review\/[0-9a-f-]{36}$/);
  await page.reload();
  await expect.poll(async () => (await reviewOf(app, id)).entries.length).toBe(1);
  await expect(app.result).not.toContainText("not sent yet");
});

test("a report is drafted, signed, and printed", async ({ app, page }) => {
  const { id } = await app.send(unseenSample("report.dcm"));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  await app.result.getByRole("button", { name: "Report" }).click();
  const form = app.result.getByRole("form", { name: "Report" });
  await form.getByLabel("Impression").fill("Nothing acute.");
  await form.getByRole("button", { name: "Sign" }).click();
  await expect(form).toContainText("Version 1, signed");
  const report = (await (await page.request.get(`/api/v1/studies/${id}/report`)).json()) as Report;
  expect(report.versions).toMatchObject([{ version: 1, signed: true, text: { impression: "Nothing acute." } }]);
  const pdf = await page.request.get(`/api/v1/studies/${id}/report.pdf`);
  expect((await pdf.body()).subarray(0, 5).toString()).toBe("%PDF-");
});
