import { readFileSync } from "node:fs";

import type { Study } from "../src/api/schema";
import { sample, unseenSample } from "./samples";
import { expect, test } from "./app";

let study: Study;

test.beforeEach(async ({ app }) => {
  study = await app.sent(sample());
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
  // Without boxes and without the map of the cause, which is offered at once.
  await page.keyboard.press("b");
  await page.keyboard.press("h");
  await expect(page.getByText(/^Heat map: /)).toHaveCount(0);
  const before = await middle();
  await page.keyboard.press("i");
  await expect(page.locator("feFuncR")).toHaveAttribute("slope", "-1");
  const after = await middle();
  expect(Math.abs(before + after - 255)).toBeLessThanOrEqual(2);
});

test("the image is turned and flipped with its boxes and what was measured on it", async ({ app, page }) => {
  const ends = async (): Promise<number[]> => {
    const line = app.viewport.locator("[data-ruler] line").last();
    const frame = await app.viewport.boundingBox();
    const values = await Promise.all(["x1", "y1"].map((name) => line.getAttribute(name)));
    return [(frame?.x ?? 0) + Number(values[0]), (frame?.y ?? 0) + Number(values[1])];
  };
  const image = async () => (await app.radiograph.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
  /** The middle of the first box and the start of the ruler, as shares of the image as it is seen. */
  const places = async (): Promise<number[]> => {
    const at = await image();
    const box = (await app.boxes.last().boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    const [x, y] = await ends();
    return [
      (box.x + box.width / 2 - at.x) / at.width,
      (box.y + box.height / 2 - at.y) / at.height,
      ((x ?? 0) - at.x) / at.width,
      ((y ?? 0) - at.y) / at.height,
    ];
  };
  const expectPlaces = async (wanted: number[]): Promise<void> => {
    const found = await places();
    found.forEach((value, at) => expect(Math.abs(value - (wanted[at] ?? NaN))).toBeLessThan(0.01));
  };
  await page.keyboard.press("m");
  const before = await image();
  await page.mouse.move(before.x + 90, before.y + 60);
  await page.mouse.down();
  await page.mouse.move(before.x + 160, before.y + 200, { steps: 3 });
  await page.mouse.up();
  const said = await app.viewport.locator("[data-measured]").textContent();
  const [bx = 0, by = 0, rx = 0, ry = 0] = await places();

  const status = app.viewport.locator("[data-turned]");
  await page.keyboard.press("q");
  await expect(status).toContainText("Turned by 90°.");
  const turned = await image();
  expect(turned.width / turned.height).toBeCloseTo(before.height / before.width, 1);
  await expectPlaces([1 - by, bx, 1 - ry, rx]);
  await expect(app.viewport.locator("[data-measured]")).toHaveText(said ?? "");
  await page.getByRole("button", { name: "Flip the image, left for right" }).click();
  await expect(status).toContainText("Flipped");
  await expectPlaces([by, bx, ry, rx]);

  const link = new URL((await page.locator("#download-overlay").getAttribute("href")) ?? "", "http://localhost");
  expect(link.searchParams.get("mirrored")).toBe("true");
  expect(link.searchParams.get("turned")).toBe("270");
  const saved = await page.request.get(link.href.replace("http://localhost", ""));
  expect(saved.status()).toBe(200);

  // The ratio's lines run across now, and the keys move them as they are seen.
  await page.keyboard.press("o");
  const heart = page.getByRole("slider", { name: "Left border of the heart" });
  const at = Number(await heart.getAttribute("aria-valuenow"));
  await heart.focus();
  await page.keyboard.press("ArrowLeft");
  await expect(heart).toHaveAttribute("aria-valuenow", String(at));
  await page.keyboard.press("ArrowDown");
  await expect(heart).toHaveAttribute("aria-valuenow", String(at + 2));
  const line = (await heart.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
  await page.mouse.move(line.x + line.width / 2, line.y + line.height / 2);
  await page.mouse.down();
  await page.mouse.move(line.x + line.width / 2, line.y + line.height / 2 + 20, { steps: 3 });
  await page.mouse.up();
  expect(Number(await heart.getAttribute("aria-valuenow"))).toBeGreaterThan(at + 10);

  await page.keyboard.press("f");
  for (let quarter = 0; quarter < 3; quarter += 1) {
    await page.keyboard.press("q");
  }
  await expect(status).toHaveText("The image hangs as it came.");
  await expectPlaces([bx, by, rx, ry]);
});

test("the patient's sides follow the image where the file says them", async ({ app, page }) => {
  const sides = app.viewport.locator("[data-sides]");
  await expect(page.getByRole("slider", { name: "Window" })).toBeVisible();
  await page.route("**/pixels", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...((await response.json()) as object), sided: true } });
  });
  await page.reload();
  await app.showsStudy();
  await expect(sides).toHaveAttribute("data-sides", "right");
  const left = app.viewport.getByText("L", { exact: true });
  const middle = async (): Promise<number> => {
    const [letter, frame] = [await left.boundingBox(), await app.viewport.boundingBox()];
    return ((letter?.x ?? 0) - (frame?.x ?? 0)) / (frame?.width ?? 1);
  };
  expect(await middle()).toBeGreaterThan(0.9);
  await page.keyboard.press("f");
  await expect(sides).toHaveAttribute("data-sides", "left");
  expect(await middle()).toBeLessThan(0.1);
  await expect(app.viewport.locator("[data-turned]")).toContainText("The patient's left is on the left.");
  await page.keyboard.press("q");
  await expect(sides).toHaveAttribute("data-sides", "top");
});

test("the map of any finding is laid over the image, fainter and stronger", async ({ app, page }) => {
  const heatmap = page.locator('[data-layer="heat map"]');
  const first = study.triage?.cause?.finding ?? study.top_findings[0]?.finding;
  expect(study.heatmaps).toHaveLength(14);
  // The cause's map is chosen beforehand; it lies over the image unasked only as measured evidence.
  const chosen = page.getByRole("combobox", { name: "Map of" });
  await expect(chosen).toHaveValue(first ?? "none");
  const toggle = page.getByRole("button", { name: /^Show: (heat map|where the network looked)/ });
  if ((await toggle.getAttribute("aria-pressed")) === "true") {
    await page.keyboard.press("h");
  }
  await expect(heatmap).toHaveCount(0);
  await page.keyboard.press("h");
  await expect(heatmap).toHaveAttribute("data-phase", "shown");
  await expect(heatmap).toHaveAttribute("src", new RegExp(`/heatmaps/${first ?? "none"}\\.png$`));
  await expect(app.viewport.getByText(/^(Heat map|Where the network looked \(not evidence\)): /)).toBeVisible();
  await expect(heatmap).toHaveCSS("opacity", "0.5");
  await page.keyboard.press("]");
  await expect(heatmap).toHaveCSS("opacity", "0.6");
  await page.getByRole("slider", { name: "Opacity" }).fill("0.25");
  await expect(heatmap).toHaveCSS("opacity", "0.25");
  const [radiograph, map] = [await app.radiograph.boundingBox(), await heatmap.boundingBox()];
  expect(map).toEqual(radiograph);
  for (const next of study.heatmaps) {
    await chosen.selectOption(next);
    await expect(heatmap).toHaveAttribute("src", new RegExp(`/heatmaps/${next}\\.png$`));
    await expect(heatmap).toHaveAttribute("data-phase", "shown");
  }
  await page.keyboard.press(".");
  await expect(chosen).toHaveValue(study.heatmaps[0] ?? "none");
  await page.keyboard.press("h");
  await expect(heatmap).toHaveCount(0);
});

test("presets are windows of the image's own greys", async ({ page }) => {
  const preset = page.getByRole("combobox", { name: "Window preset" });
  const level = page.getByRole("slider", { name: "Level" });
  await expect(preset).toHaveValue("stored");
  await page.keyboard.press("3");
  await expect(preset).toHaveValue("lung");
  const lung = Number(await level.inputValue());
  await preset.selectOption("bone");
  await expect(preset).toHaveValue("bone");
  await expect.poll(async () => Number(await level.inputValue())).toBeGreaterThan(lung);
  await level.fill("100");
  await expect(preset).toHaveValue("");
  await page.keyboard.press("r");
  await expect(preset).toHaveValue("stored");
});

test("a distance is measured on the image, and stays on it", async ({ app, page }) => {
  await page.keyboard.press("m");
  const image = await app.radiograph.boundingBox();
  const x = (image?.x ?? 0) + 100;
  const y = (image?.y ?? 0) + 150;
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 90, y + 120, { steps: 3 });
  await page.mouse.up();
  const text = app.viewport.locator("[data-ruler] text");
  const measured = (await text.textContent()) ?? "";
  expect(measured).toMatch(/^[\d.]+ (px|mm)$/u);
  const before = await text.boundingBox();
  await page.keyboard.press("+");
  await expect(text).toHaveText(measured);
  expect(await text.boundingBox()).not.toEqual(before);
});

test("an earlier image of the patient lies beside the current one and moves with it", async ({ app, page }) => {
  const { id } = await app.send(unseenSample("earlier.dcm"));
  await expect(page.locator("[data-prior]")).toHaveCount(0);
  await page.keyboard.press("p");
  const earlier = app.result.getByRole("region", { name: "Other images of this patient" });
  await expect(earlier.getByRole("status").first()).toHaveText("By the same patient ID and issuer.");
  const prior = page.locator("[data-prior]");
  const layer = page.locator('[data-layer="earlier radiograph"]');
  await expect(layer).toHaveAttribute("data-phase", "shown");
  // The latest lies there at once; its row takes it away and brings it back.
  await expect(prior).toHaveAttribute("data-prior", id);
  const row = earlier.getByRole("button", { name: new RegExp(`#${id.slice(-6)}`) });
  await row.click();
  await expect(prior).toHaveCount(0);
  await row.click();
  await expect(layer).toHaveAttribute("data-phase", "shown");
  await expect(prior).toContainText(`#${id.slice(-6)}`);
  // Both are of one day, which nobody calls earlier.
  await expect(prior).toContainText("Same day: ");
  const changes = earlier.getByRole("table", { name: "The model's percentages, then and now" });
  await expect(changes.getByRole("row")).toHaveCount(study.findings.length + 1);
  await expect(earlier).toContainText("can differ by as much without any change");

  const width = async (): Promise<number> => (await layer.boundingBox())?.width ?? 0;
  const fitted = await width();
  expect(fitted).toBeCloseTo((await app.radiograph.boundingBox())?.width ?? 0, 0);
  await page.keyboard.press("+");
  await expect.poll(width).toBeGreaterThan(fitted);
  expect(await width()).toBeCloseTo((await app.radiograph.boundingBox())?.width ?? 0, 0);
  await page.keyboard.press("i");
  await expect(layer).toHaveAttribute("style", /filter: url/);
  await page.keyboard.press("p");
  await expect(prior).toHaveCount(0);
});

test("names stand on the image until they are hidden", async ({ app, page }) => {
  const corners = app.viewport.locator("[data-corners]");
  await expect(corners).toContainText(study.id.slice(-6));
  await expect(corners).toContainText(study.patient.patient_id ?? "no patient in the file");
  await page.keyboard.press("t");
  await expect(corners).toHaveCount(0);
});

test.describe("on a screen with two pixels for each of the page's", () => {
  test.use({ deviceScaleFactor: 2 });

  test("one pixel of the image is one of the screen", async ({ app, page }) => {
    await page.keyboard.press("1");
    await expect(page.getByRole("button", { name: /^Zoom 100%/ })).toBeVisible();
    await expect.poll(async () => (await app.radiograph.boundingBox())?.width).toBeCloseTo(study.image.width / 2, 0);
  });
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

test("the saved image says whose it is while the page does", async ({ page }) => {
  const link = page.locator("#download-overlay");
  /** The pixels of the upper tenth that differ from the image without names, by half. */
  const written = async (): Promise<{ left: number; right: number; below: number }> =>
    page.evaluate(async (href) => {
      const pixels = async (url: string): Promise<ImageData> => {
        const bitmap = await createImageBitmap(await (await fetch(url)).blob());
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
        context?.drawImage(bitmap, 0, 0);
        return context?.getImageData(0, 0, bitmap.width, bitmap.height) ?? new ImageData(1, 1);
      };
      const plain = new URL(href, window.location.href);
      plain.searchParams.delete("identifiers");
      const [as, bare] = [await pixels(href), await pixels(plain.href)];
      const found = { left: 0, right: 0, below: 0 };
      for (let at = 0; at < as.data.length; at += 4) {
        if (as.data[at] !== bare.data[at]) {
          const [x, y] = [(at / 4) % as.width, Math.floor(at / 4 / as.width)];
          found[y > as.height / 10 ? "below" : x < as.width / 2 ? "left" : "right"] += 1;
        }
      }
      return found;
    }, (await link.getAttribute("href")) ?? "");
  const named = await written();
  expect(named.left).toBeGreaterThan(200);
  expect(named.right).toBeGreaterThan(200);
  expect(named.below).toBe(0);
  await page.keyboard.press("t");
  await expect(link).not.toHaveAttribute("href", /identifiers/);
  expect(await written()).toEqual({ left: 0, right: 0, below: 0 });
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
  const help = page.getByRole("dialog", { name: "Help and settings" });
  await expect(help).toBeVisible();
  await help.getByRole("checkbox", { name: "Single keys work as shortcuts" }).uncheck();
  await page.keyboard.press("Escape");
  await expect(help).toHaveCount(0);
  await page.keyboard.press("i");
  await expect(page.getByRole("button", { name: "Invert the greys" })).toHaveAttribute("aria-pressed", "false");
});
