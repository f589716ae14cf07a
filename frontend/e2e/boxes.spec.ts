import type { Box, Study } from "../src/api/schema";
import { colourOf } from "../src/domain/colours";
import { sample } from "./samples";
import { expect, type App, test } from "./app";

/** Fractions of a pixel, one box inside another, one at the edge. */
const KNOWN_BOXES: readonly Box[] = [
  { finding: "Effusion", score: 0.91, detector_score: 0.7, classifier_probability: 0.4, x_min: 120.25, y_min: 1210.5, x_max: 610.75, y_max: 1720.125 },
  { finding: "Nodule", score: 0.62, detector_score: 0.8, classifier_probability: 0.2, x_min: 300, y_min: 1300, x_max: 371, y_max: 1385.5 },
  { finding: "Fracture", score: 0.35, detector_score: 0.3, classifier_probability: null, x_min: 1500.5, y_min: 0, x_max: 1841, y_max: 260.75 },
];

interface OnScreen {
  readonly image: { left: number; top: number; width: number; height: number };
  readonly corners: { left: number; top: number; right: number; bottom: number }[];
}

/** Where the browser puts the image, and where it puts the corners of the boxes. */
function onScreen(app: App): Promise<OnScreen> {
  return app.page.evaluate(() => {
    const image = document.querySelector('[data-layer="radiograph"]');
    const rects = [...document.querySelectorAll<SVGRectElement>("rect[data-finding]")];
    if (image === null) {
      throw new Error("no image");
    }
    const { left, top, width, height } = image.getBoundingClientRect();
    const corners = rects.map((rect) => {
      const matrix = rect.getScreenCTM();
      const box = rect.getBBox();
      const first = new DOMPoint(box.x, box.y).matrixTransform(matrix ?? undefined);
      const last = new DOMPoint(box.x + box.width, box.y + box.height).matrixTransform(
        matrix ?? undefined,
      );
      return { left: first.x, top: first.y, right: last.x, bottom: last.y };
    });
    return { image: { left, top, width, height }, corners };
  });
}

/** The numbers in the markup are the API's; their place is that of the image's own pixels. */
async function expectBoxesAt(app: App, study: Study, boxes: readonly Box[]): Promise<void> {
  await expect(app.boxes).toHaveCount(boxes.length);
  const largestFirst = [...boxes].sort((a, b) => areaOf(b) - areaOf(a));
  for (const [position, box] of largestFirst.entries()) {
    const rect = app.boxes.nth(position);
    await expect(rect).toHaveAttribute("x", String(box.x_min));
    await expect(rect).toHaveAttribute("y", String(box.y_min));
    await expect(rect).toHaveAttribute("width", String(box.x_max - box.x_min));
    await expect(rect).toHaveAttribute("height", String(box.y_max - box.y_min));
    await expect(rect).toHaveAttribute("data-finding", box.finding);
    await expect(rect).toHaveAttribute("data-score", String(box.score));
  }
  const { image, corners } = await onScreen(app);
  const scaleX = image.width / study.image.width;
  const scaleY = image.height / study.image.height;
  largestFirst.forEach((box, position) => {
    const corner = corners[position];
    expect(corner?.left).toBeCloseTo(image.left + box.x_min * scaleX, 1);
    expect(corner?.top).toBeCloseTo(image.top + box.y_min * scaleY, 1);
    expect(corner?.right).toBeCloseTo(image.left + box.x_max * scaleX, 1);
    expect(corner?.bottom).toBeCloseTo(image.top + box.y_max * scaleY, 1);
  });
}

function areaOf(box: Box): number {
  return (box.x_max - box.x_min) * (box.y_max - box.y_min);
}

/** Looks from near and far, from here and there, and calls `check` each time. */
async function fromSeveralViews(app: App, check: () => Promise<void>): Promise<void> {
  const { page, viewport } = app;
  const frame = await viewport.boundingBox();
  if (frame === null) {
    throw new Error("the viewport is not laid out");
  }
  const drag = async (): Promise<void> => {
    await page.mouse.down();
    await page.mouse.move(frame.x + frame.width * 0.45, frame.y + frame.height * 0.4, { steps: 4 });
    await page.mouse.up();
  };
  const fitted = (await onScreen(app)).image;
  await check();
  await page.mouse.move(frame.x + frame.width * 0.3, frame.y + frame.height * 0.7);
  const moves = [
    () => page.keyboard.press("+"),
    () => page.mouse.wheel(0, -400),
    drag,
    () => viewport.press("ArrowRight"),
    () => viewport.press("ArrowDown"),
    () => page.keyboard.press("1"),
    () => page.mouse.wheel(0, 900),
  ];
  for (const move of moves) {
    const { image } = await onScreen(app);
    await move();
    await expect.poll(async () => (await onScreen(app)).image).not.toEqual(image);
    await check();
  }
  await page.keyboard.press("0");
  await expect.poll(async () => (await onScreen(app)).image).toEqual(fitted);
  await check();
}

test("the boxes of the sample lie where the API says, at every zoom", async ({ app }) => {
  await app.open();
  await app.choose([sample()]);
  const study = await app.showsStudy();
  await fromSeveralViews(app, () => expectBoxesAt(app, study, study.boxes));
});

test.describe("with known boxes", () => {
  let study: Study;

  // What the detector marks changes with its model. So that coordinates are tested whatever it
  // marks, the study's boxes are replaced in transit; all else is the gateway's own response.
  test.beforeEach(async ({ app, page }) => {
    study = await app.sent(sample());
    await page.route(`**/api/v1/studies/${study.id}`, async (route) => {
      const response = await route.fetch();
      const body = (await response.json()) as Study;
      await route.fulfill({ response: response, json: { ...body, boxes: KNOWN_BOXES } });
    });
    await app.open(`/studies/${study.id}`);
    await app.showsStudy();
  });

  test("they lie on the image's pixels at every zoom", async ({ app }) => {
    await fromSeveralViews(app, () => expectBoxesAt(app, study, KNOWN_BOXES));
  });

  test("their lines are painted there, in the finding's colour", async ({ app, page }) => {
    const box = KNOWN_BOXES[0];
    if (box === undefined) {
      throw new Error("no box");
    }
    const { image } = await onScreen(app);
    const scale = image.width / study.image.width;
    // The middle of the left side, and a place within the box where only the radiograph is.
    const y = Math.round(image.top + ((box.y_min + box.y_max) / 2) * scale);
    const line = Math.round(image.left + box.x_min * scale);
    const screenshot = await page.screenshot();
    const painted = await page.evaluate(coloursAlong, {
      png: screenshot.toString("base64"),
      ...{ x: line - 3, y, count: 7 },
    });
    expect(painted).toContain(colourOf(box.finding));
    const inside = await page.evaluate(coloursAlong, {
      png: screenshot.toString("base64"),
      ...{ x: line + 12, y, count: 7 },
    });
    expect(inside).not.toContain(colourOf(box.finding));
  });

  test("labels have one size at every zoom and do not cover each other", async ({ app, page }) => {
    const label = app.viewport.getByText("Effusion 91%");
    await expect(label).toBeVisible();
    const before = await label.boundingBox();
    await page.getByRole("button", { name: "Zoom in" }).click();
    await page.getByRole("button", { name: "Zoom in" }).click();
    const after = await label.boundingBox();
    expect(after?.height).toBeCloseTo(before?.height ?? 0, 0);
    expect(after?.width).toBeCloseTo(before?.width ?? 0, 0);
    const effusion = await label.boundingBox();
    const nodule = await app.viewport.getByText("Nodule 62%").boundingBox();
    if (effusion === null || nodule === null) {
      throw new Error("a label is not drawn");
    }
    const apart =
      effusion.y + effusion.height <= nodule.y ||
      nodule.y + nodule.height <= effusion.y ||
      effusion.x + effusion.width <= nodule.x ||
      nodule.x + nodule.width <= effusion.x;
    expect(apart).toBe(true);
  });

  test("a kind of box is hidden, all are, and one is gone to", async ({ app, page }) => {
    await app.result.getByRole("checkbox", { name: /^Nodule/ }).uncheck();
    await expectBoxesAt(app, study, KNOWN_BOXES.filter(({ finding }) => finding !== "Nodule"));
    await app.result.getByRole("checkbox", { name: /^Nodule/ }).check();
    await page.getByRole("button", { name: "Show the regions" }).click();
    await expect(app.boxes).toHaveCount(0);
    await page.keyboard.press("b");
    await expectBoxesAt(app, study, KNOWN_BOXES);

    const row = app.result.getByRole("button", { name: "Show nodule, score 62%" });
    await row.click();
    await expect(row).toHaveAttribute("aria-pressed", "true");
    await expectBoxesAt(app, study, KNOWN_BOXES);
    const frame = await app.viewport.boundingBox();
    const { corners } = await onScreen(app);
    const nodule = corners.at(-1);
    expect(((nodule?.left ?? 0) + (nodule?.right ?? 0)) / 2).toBeCloseTo(
      (frame?.x ?? 0) + (frame?.width ?? 0) / 2,
      0,
    );
  });
});

/** `#rrggbb` of a few pixels to the right of a place in a PNG; runs in the browser. */
async function coloursAlong(place: {
  png: string;
  x: number;
  y: number;
  count: number;
}): Promise<string[]> {
  const image = new Image();
  image.src = `data:image/png;base64,${place.png}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d");
  context?.drawImage(image, 0, 0);
  const bytes = context?.getImageData(place.x, place.y, place.count, 1).data ?? [];
  const hex = [...bytes].map((value) => value.toString(16).padStart(2, "0"));
  return Array.from({ length: place.count }, (_, i) => `#${hex.slice(i * 4, i * 4 + 3).join("")}`);
}
