import type { Locator } from "@playwright/test";

import { overflows } from "./barriers";
import { unseenSample } from "./samples";
import { expect, test } from "./app";

interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

async function areaOf(part: Locator): Promise<Area> {
  const area = await part.boundingBox();
  if (area === null) {
    throw new Error("it is not laid out");
  }
  return area;
}

/** By how much two areas overlap, the smaller way; fractions of a pixel do not count. */
function overlap(a: Area, b: Area): number {
  const along = (from: "x" | "y", size: "width" | "height"): number =>
    Math.min(a[from] + a[size], b[from] + b[size]) - Math.max(a[from], b[from]);
  return Math.max(0, Math.min(along("x", "width"), along("y", "height")) - 0.5);
}

const TOUCH = { hasTouch: true, isMobile: true };
const SCREENS = [
  { name: "a phone", viewport: { width: 390, height: 844 }, ...TOUCH },
  { name: "a tablet held upright", viewport: { width: 768, height: 1024 }, ...TOUCH },
  { name: "a small screen", viewport: { width: 1024, height: 768 } },
  { name: "a screen", viewport: { width: 1440, height: 900 } },
  { name: "a wide screen", viewport: { width: 3840, height: 2160 } },
] as const;

for (const { name, ...screen } of SCREENS) {
  const { width } = screen.viewport;
  test.describe(`${name}, ${width} pixels wide`, () => {
    test.use(screen);

    test("nothing scrolls sideways, no part covers another, and the image has its room", async ({ app, page }) => {
      const { id } = await app.send(unseenSample("width.dcm"));
      await app.open();
      await app.showsExamples();
      expect(await overflows(page)).toBe(false);
      await app.open(`/studies/${id}`);
      await app.showsStudy();
      await expect(app.boxes.first()).toBeAttached();
      expect(await overflows(page)).toBe(false);

      const isListBeside = await app.list.isVisible();
      expect(isListBeside).toBe(width > 900);
      const main = page.getByRole("main");
      const parts = {
        ...{ header: page.getByRole("banner"), footer: page.getByRole("contentinfo") },
        ...{ toolbar: page.getByRole("group", { name: "Image tools" }), image: app.viewport, result: app.result },
        ...(isListBeside && { list: app.list }),
      };
      const laidOut = await Promise.all(
        Object.entries(parts).map(async ([part, locator]) => [part, await areaOf(locator)] as const),
      );
      const covered = laidOut.flatMap(([one, a], at) =>
        laidOut.slice(at + 1).flatMap(([other, b]) => (overlap(a, b) > 0 ? [`${one} and ${other}`] : [])),
      );
      expect(covered).toEqual([]);
      // Nothing reaches beyond the screen but what is scrolled to.
      const bounds = await areaOf(main);
      expect(bounds.x).toBeGreaterThanOrEqual(0);
      expect(bounds.x + bounds.width).toBeLessThanOrEqual(width + 0.5);

      const [stage, radiograph] = [await areaOf(app.viewport), await areaOf(app.radiograph)];
      if (name === "a tablet held upright") {
        expect(radiograph.width).toBeGreaterThanOrEqual(0.7 * width);
      }
      expect(radiograph.height).toBeGreaterThan(200);
      for (const label of await app.viewport.locator("[data-label] > rect").all()) {
        const area = await areaOf(label);
        expect(area.x).toBeGreaterThanOrEqual(stage.x - 0.5);
        expect(area.y).toBeGreaterThanOrEqual(stage.y - 0.5);
        expect(area.x + area.width).toBeLessThanOrEqual(stage.x + stage.width + 0.5);
        expect(area.y + area.height).toBeLessThanOrEqual(stage.y + stage.height + 0.5);
      }
    });
  });
}
