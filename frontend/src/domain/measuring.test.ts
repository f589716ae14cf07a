import { describe, expect, it } from "vitest";

import { aStudy, EFFUSION_BOX } from "../test/studies";
import { angleBetween, firstRatio, lineText, ratioOf, spacingNote, withLine, withRatioLine } from "./measuring";

const line = (x1: number, y1: number, x2: number, y2: number) => ({ from: { x: x1, y: y1 }, to: { x: x2, y: y2 } });

describe("a distance", () => {
  it("is told in millimetres where the file says how large a pixel is, else in pixels", () => {
    expect(lineText(line(0, 0, 30, 40), { mm: 0.2, source: "PixelSpacing" })).toBe("10.0 mm");
    expect(lineText(line(0, 0, 30, 40), null)).toBe("50 px");
  });

  it("at the detector is no distance in the patient", () => {
    expect(spacingNote({ mm: 0.2, source: "ImagerPixelSpacing" })).toContain("at the detector");
    expect(spacingNote({ mm: 0.2, source: "PixelSpacing" })).toContain("calibration");
    expect(spacingNote(null)).toContain("does not say");
  });
});

describe("an angle", () => {
  it("is the smaller one, however the lines were drawn", () => {
    const flat = line(0, 0, 10, 0);
    expect(angleBetween(flat, line(0, 0, 10, 10))).toBeCloseTo(45);
    expect(angleBetween(flat, line(10, 10, 0, 0))).toBeCloseTo(45);
    expect(angleBetween(flat, line(0, 0, -10, 10))).toBeCloseTo(45);
    expect(angleBetween(flat, line(5, 5, 5, 50))).toBeCloseTo(90);
    expect(angleBetween(line(0, 0, 10, 1), line(10, 0, 0, 1))).toBeCloseTo(11.4, 1);
  });

  it("takes two lines, then begins anew", () => {
    const first = withLine([], line(0, 0, 5, 5));
    const dragged = withLine(first, line(0, 0, 9, 9));
    expect(dragged).toEqual([line(0, 0, 9, 9)]);
    const both = withLine(dragged, line(3, 0, 9, 0));
    expect(both).toHaveLength(2);
    expect(withLine(both, line(3, 0, 8, 1))).toEqual([line(0, 0, 9, 9), line(3, 0, 8, 1)]);
    expect(withLine(both, line(1, 1, 2, 2))).toEqual([line(1, 1, 2, 2)]);
  });
});

describe("the cardiothoracic ratio", () => {
  it("starts at the heart's region, if the detector marked one", () => {
    const heart = { ...EFFUSION_BOX, finding: "Cardiomegaly" as const, x_min: 150, x_max: 290 };
    const marked = firstRatio(aStudy({ boxes: [heart] }));
    expect(marked).toMatchObject({ heartRight: 150, heartLeft: 290 });
    const unmarked = firstRatio(aStudy({ boxes: [] }));
    expect(ratioOf(unmarked)).toBeCloseTo(0.25 / 0.76);
  });

  it("has lines that never pass each other or the edges", () => {
    const lines = { thoraxRight: 50, heartRight: 150, heartLeft: 250, thoraxLeft: 350 };
    expect(ratioOf(lines)).toBeCloseTo(1 / 3);
    expect(withRatioLine(lines, "heartRight", 999, 400).heartRight).toBe(246);
    expect(withRatioLine(lines, "thoraxRight", -9, 400).thoraxRight).toBe(0);
    expect(withRatioLine(lines, "thoraxLeft", 999, 400).thoraxLeft).toBe(400);
    expect(withRatioLine(lines, "thoraxLeft", 10, 400).thoraxLeft).toBe(254);
  });
});
