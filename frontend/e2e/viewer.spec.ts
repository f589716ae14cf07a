import { readFileSync } from "node:fs";

import type { Study } from "../src/api/schema";
import { displayName } from "../src/domain/format";
import { sample } from "./samples";
import { expect, test } from "./app";

let study: Study;

test.beforeEach(async ({ app }) => {
  study = await app.send(sample());
  await app.open(`/studies/${study.id}`);
  await app.showsStudy();
});

test("greys are inverted, windowed by slider and by drag, and reset", async ({ app, page }) => {
  const slope = page.locator("feFuncR");
  await expect(app.radiograph).not.toHaveAttribute("style", /filter/);
  await page.keyboard.press("i");
  await expect(page.getByRole("button", { name: "Invert the greys" })).toHaveAttribute("aria-pressed", "true");
  await expect(slope).toHaveAttribute("slope", "-1");
  await expect(app.radiograph).toHaveAttribute("style", /filter: url/);
  await page.keyboard.press("r");
  await expect(slope).toHaveAttribute("slope", "1");

  await page.getByRole("slider", { name: "Window" }).fill("51");
  await expect(slope).toHaveAttribute("slope", "5");
  await expect(slope).toHaveAttribute("intercept", "-2");
  await page.getByRole("button", { name: "Reset the greys" }).click();
  await expect(slope).toHaveAttribute("slope", "1");

  await page.keyboard.press("w");
  const frame = await app.viewport.boundingBox();
  const x = (frame?.x ?? 0) + 200;
  const y = (frame?.y ?? 0) + 200;
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x - 100, y + 50);
  await page.mouse.up();
  // 0.6 greys for each pixel: 255 - 60 wide, its middle at 127.5 + 30.
  await expect(page.getByRole("slider", { name: "Window" })).toHaveValue("195");
  await expect(page.getByRole("slider", { name: "Level" })).toHaveValue("157.5");
});

test("inverting turns the very pixels of the image", async ({ app, page }) => {
  const middle = async (): Promise<number> => {
    const image = await app.viewport.screenshot();
    return page.evaluate(async (png) => {
      const image = new Image();
      image.src = `data:image/png;base64,${png}`;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.width;
      canvas.height = image.height;
      const context = canvas.getContext("2d");
      context?.drawImage(image, 0, 0);
      return context?.getImageData(image.width / 2, image.height / 2, 1, 1).data[0] ?? -1;
    }, image.toString("base64"));
  };
  await page.keyboard.press("b");
  const before = await middle();
  await page.keyboard.press("i");
  await expect(page.locator("feFuncR")).toHaveAttribute("slope", "-1");
  const after = await middle();
  expect(Math.abs(before + after - 255)).toBeLessThanOrEqual(2);
});

test("a heat map is laid over the image, fainter and stronger", async ({ app, page }) => {
  const heatmap = page.locator('[data-layer="heat map"]');
  const first = study.heatmaps[0];
  if (first === undefined) {
    throw new Error("the sample has a heat map for each of its top findings");
  }
  await expect(heatmap).toHaveCount(0);
  const button = app.result.getByRole("button", { name: `Heat map of ${displayName(first).toLowerCase()}` });
  await button.click();
  await expect(button).toHaveAttribute("aria-pressed", "true");
  await expect(heatmap).toHaveAttribute("data-phase", "shown");
  await expect(heatmap).toHaveAttribute("src", new RegExp(`/heatmaps/${first}\\.png$`));
  await expect(heatmap).toHaveCSS("opacity", "0.5");
  await page.keyboard.press("]");
  await expect(heatmap).toHaveCSS("opacity", "0.6");
  await page.getByRole("slider", { name: "Opacity" }).fill("0.25");
  await expect(heatmap).toHaveCSS("opacity", "0.25");
  const [radiograph, map] = [await app.radiograph.boundingBox(), await heatmap.boundingBox()];
  expect(map).toEqual(radiograph);
  for (const next of study.heatmaps.slice(1)) {
    await page.keyboard.press("h");
    await expect(heatmap).toHaveAttribute("src", new RegExp(`/heatmaps/${next}\\.png$`));
    await expect(heatmap).toHaveAttribute("data-phase", "shown");
  }
  await page.keyboard.press("h");
  await expect(heatmap).toHaveCount(0);
});

test("the image and the result are downloaded", async ({ page }) => {
  const [image] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
  expect(image.suggestedFilename()).toBe(`${study.id}-overlay.png`);
  const png = readFileSync(await image.path());
  expect(png.subarray(1, 4).toString("ascii")).toBe("PNG");
  expect(png.length).toBeGreaterThan(10_000);

  const [result] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Result" }).click(),
  ]);
  const response = JSON.parse(readFileSync(await result.path(), "utf8")) as Study;
  expect(response.id).toBe(study.id);
});

test("single keys work, and can be switched off", async ({ app, page }) => {
  const zoom = page.getByRole("button", { name: /^Zoom \d+%/ });
  const fitted = await zoom.textContent();
  await page.keyboard.press("+");
  await expect(zoom).not.toHaveText(fitted ?? "");
  await page.keyboard.press("-");
  await expect(zoom).toHaveText(fitted ?? "");
  await page.keyboard.press("l");
  await expect(app.list).toHaveCount(0);
  await page.keyboard.press("l");
  await expect(app.list).toBeVisible();
  await page.keyboard.press("a");
  await expect(page.locator("#all-findings")).toBeVisible();

  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keyboard and mouse" });
  await expect(help).toBeVisible();
  await help.getByRole("checkbox", { name: "Single keys work as shortcuts" }).uncheck();
  await page.keyboard.press("Escape");
  await expect(help).toHaveCount(0);
  await page.keyboard.press("i");
  await expect(page.getByRole("button", { name: "Invert the greys" })).toHaveAttribute("aria-pressed", "false");
});

test("the keys step through the list", async ({ app, page }) => {
  await app.open();
  const rows = app.list.locator("[data-study]");
  await expect(rows.first()).toBeVisible();
  await page.keyboard.press("j");
  await expect(rows.first()).toHaveAttribute("aria-current", "page");
});
