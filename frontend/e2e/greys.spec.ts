import { readFileSync } from "node:fs";

import type { Locator } from "@playwright/test";

import type { StoredGreys, Study } from "../src/api/schema";
import { sample } from "./samples";
import { expect, test } from "./app";

// WebGL by software, which the browsers of the other specs go without.
test.use({
  launchOptions: {
    executablePath: process.env["CXR_CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
  },
});

let study: Study;
let greys: StoredGreys;

test.beforeEach(async ({ app, request }) => {
  study = await app.sent(sample());
  greys = (await (await request.get(`/api/v1/studies/${study.id}/pixels`)).json()) as StoredGreys;
});

for (const painter of ["webgl2", "2d"] as const) {
  test(`the window acts on the file's own greys, by ${painter}`, async ({ app, page }) => {
    // A painter in software is slower than pixel by pixel, and therefore not taken by itself.
    await page.addInitScript((wanted) => {
      const { prototype } = HTMLCanvasElement;
      const original = Reflect.get(prototype, "getContext") as (kind: string, options?: object) => unknown;
      Reflect.set(prototype, "getContext", function (this: HTMLCanvasElement, kind: string, options?: object) {
        const asked = { ...options, failIfMajorPerformanceCaveat: false };
        return kind === "webgl2" && wanted !== "webgl2" ? null : Reflect.apply(original, this, [kind, asked]);
      });
    }, painter);
    await app.open(`/studies/${study.id}`);
    await app.showsStudy();
    const canvas = app.viewport.locator('canvas[data-layer="greys"]');
    await expect(canvas).toHaveAttribute("data-painter", painter);
    await expect(canvas).toHaveAttribute("data-shown", "false");

    await page.keyboard.press("3");
    await expect(page.getByRole("combobox", { name: "Window preset" })).toHaveValue("lung");
    await expect(canvas).toHaveAttribute("data-shown", "true");
    // Of the pixels of an image, the canvas holds those that the screen can show; under the lens all.
    const pixelsOf = (layer: Locator): Promise<number> =>
      layer.evaluate((element) => (element instanceof HTMLCanvasElement ? element.width * element.height : 0));
    const scale = ((await app.radiograph.boundingBox())?.width ?? 0) / study.image.width;
    expect(await pixelsOf(canvas)).toBe(
      Math.ceil(study.image.width / Math.floor(1 / scale)) * Math.ceil(study.image.height / Math.floor(1 / scale)),
    );
    await page.keyboard.press("v");
    await expect.poll(() => pixelsOf(canvas)).toBe(study.image.width * study.image.height);
    const link = await page.locator("#download-overlay").getAttribute("href");
    const ends = new URL(link ?? "", "http://localhost").searchParams;
    const [black, white] = [Number(ends.get("black")), Number(ends.get("white"))];
    expect(white).toBeGreaterThan(black);

    // Every pixel of a row, against the API's own values.
    const { shown, stored } = await page.evaluate(async (id) => {
      const own = document.querySelector<HTMLCanvasElement>('canvas[data-layer="greys"]');
      if (own === null) {
        throw new Error("there is no canvas");
      }
      const copy = document.createElement("canvas");
      copy.width = own.width;
      copy.height = own.height;
      const context = copy.getContext("2d", { willReadFrequently: true });
      context?.drawImage(own, 0, 0);
      const y = Math.floor(own.height / 3);
      const row = context?.getImageData(0, y, own.width, 1).data ?? new Uint8ClampedArray();
      const image = new Image();
      image.src = `/api/v1/studies/${id}/pixels.png`;
      await image.decode();
      context?.drawImage(image, 0, 0);
      const high = context?.getImageData(0, y, own.width, 1).data ?? new Uint8ClampedArray();
      const every4 = (data: Uint8ClampedArray) => [...data].filter((_, at) => at % 4 === 0);
      return { shown: every4(row), stored: every4(high) };
    }, study.id);
    expect(new Set(shown).size).toBeGreaterThan(20);
    // A browser's own decoder keeps the upper 8 of 16 bits: the value to within 256.
    const off = shown.filter((grey, at) => {
      const clipped = (value: number): number => Math.min(Math.max((value - black) / (white - black), 0), 1) * 255;
      const low = clipped((stored[at] ?? 0) * 257 - 257);
      const high = clipped((stored[at] ?? 0) * 257 + 257);
      return grey < low - 1 || grey > high + 1;
    });
    expect(off).toEqual([]);

    await page.keyboard.press("r");
    await expect(canvas).toHaveAttribute("data-shown", "false");
  });
}

test("window and level are told in stored values, and the image is saved as it is looked at", async ({ app, page }) => {
  await app.open(`/studies/${study.id}`);
  await app.showsStudy();
  const window = page.getByRole("slider", { name: "Window" });
  await expect(window).toHaveAttribute("aria-valuetext", String(Math.round(greys.white - greys.black)));
  const save = page.locator("#download-overlay");
  await page.keyboard.press("b");
  await page.keyboard.press("5");
  await expect(save).toHaveAttribute("href", /black=/);
  await expect(save).toHaveAttribute("href", /boxes=false/);
  const [image] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
  expect(readFileSync(await image.path()).subarray(1, 4).toString("ascii")).toBe("PNG");
});

test("a lens shows what lies under the pointer", async ({ app, page }) => {
  await app.open(`/studies/${study.id}`);
  await app.showsStudy();
  const lens = app.viewport.locator("[data-lens]");
  await page.keyboard.press("v");
  const image = await app.radiograph.boundingBox();
  await page.mouse.move((image?.x ?? 0) + 120, (image?.y ?? 0) + 160);
  await expect(lens).toBeVisible();
  const box = await lens.boundingBox();
  expect((box?.x ?? 0) + (box?.width ?? 0) / 2).toBeCloseTo((image?.x ?? 0) + 120, -1);
  await page.mouse.move(5, 5);
  await expect(lens).toBeHidden();
  await page.keyboard.press("v");
  await expect(lens).toHaveCount(0);
});

test("lengths are in millimetres where the file says how large a pixel is", async ({ app, page }) => {
  // The public sample does not say it.
  const mm = 0.2;
  await page.route("**/pixels", (route) =>
    route.fulfill({ json: { ...greys, spacing: { mm, source: "ImagerPixelSpacing" } } satisfies StoredGreys }),
  );
  await app.open(`/studies/${study.id}`);
  await app.showsStudy();
  await page.keyboard.press("m");
  const image = await app.radiograph.boundingBox();
  const [x, y] = [(image?.x ?? 0) + 100, (image?.y ?? 0) + 150];
  const scale = (image?.width ?? 0) / study.image.width;
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 90, y + 120, { steps: 3 });
  await page.mouse.up();
  const text = (await app.viewport.locator("[data-ruler] text").textContent()) ?? "";
  expect(Math.abs(Number(/^([\d.]+) mm$/u.exec(text)?.[1]) - (150 / scale) * mm)).toBeLessThan(2 * mm);
  await expect(app.viewport.locator("[data-measured]")).toContainText("Millimetres");
});

test("an angle is drawn by two lines, and the ratio's lines move by mouse and by key", async ({ app, page }) => {
  await app.open(`/studies/${study.id}`);
  await app.showsStudy();
  const image = await app.radiograph.boundingBox();
  const [x, y] = [(image?.x ?? 0) + 100, (image?.y ?? 0) + 150];
  const drag = async (dx: number, dy: number): Promise<void> => {
    await page.mouse.move(x, y + dy / 2);
    await page.mouse.down();
    await page.mouse.move(x + dx, y + dy / 2 + dy, { steps: 3 });
    await page.mouse.up();
  };
  await page.keyboard.press("e");
  await drag(100, 0);
  await drag(80, 80);
  await expect(app.viewport.locator("[data-angle] text")).toHaveText("45.0°");
  await page.keyboard.press("e");

  await page.keyboard.press("o");
  const said = app.viewport.locator("[data-measured]");
  await expect(said).toContainText("Cardiothoracic ratio");
  const before = await said.textContent();
  const heart = page.getByRole("slider", { name: "Left border of the heart" });
  const place = await heart.boundingBox();
  await page.mouse.move((place?.x ?? 0) + (place?.width ?? 0) / 2, (place?.y ?? 0) + 80);
  await page.mouse.down();
  await page.mouse.move((place?.x ?? 0) + (place?.width ?? 0) / 2 - 25, (place?.y ?? 0) + 80, { steps: 3 });
  await page.mouse.up();
  await expect(said).not.toHaveText(before ?? "");
  const moved = Number(await heart.getAttribute("aria-valuenow"));
  await heart.focus();
  await page.keyboard.press("ArrowLeft");
  await expect(heart).toHaveAttribute("aria-valuenow", String(moved - 2));
  await page.keyboard.press("o");
  await expect(heart).toHaveCount(0);
});
