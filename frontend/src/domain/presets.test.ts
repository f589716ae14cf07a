import { describe, expect, it } from "vitest";

import { aStudy } from "../test/studies";
import { cornersOf } from "./identity";
import { presetOf, presetWindow, renderedHistogram } from "./presets";
import { FULL_WINDOW } from "./windowLevel";

/** Each grey from `from` to `to` once. */
const greys = (from: number, to: number, edges = 0) =>
  renderedHistogram(
    Array.from({ length: 256 }, (_, grey) =>
      grey === 0 || grey === 255 ? edges : grey >= from && grey <= to ? 1 : 0,
    ),
  );

describe("presets", () => {
  it("follow the image's own greys, whatever its exposure", () => {
    const dark = presetWindow("auto", greys(20, 119));
    const bright = presetWindow("auto", greys(120, 219));
    expect(dark.window).toBe(bright.window);
    expect(bright.level - dark.level).toBe(100);
  });

  it("of the lung lie below those of bone", () => {
    const [lung, mediastinum, bone] = (["lung", "mediastinum", "bone"] as const).map(
      (preset) => presetWindow(preset, greys(1, 254)).level,
    );
    expect(lung).toBeLessThan(mediastinum ?? 0);
    expect(mediastinum).toBeLessThan(bone ?? 0);
  });

  it("do not count a collimator, and make no window of nothing", () => {
    expect(presetWindow("auto", greys(50, 150, 1e6))).toEqual(presetWindow("auto", greys(50, 150)));
    expect(presetWindow("lung", greys(90, 90))).toEqual(FULL_WINDOW);
    expect(presetWindow("lung", greys(1, 0))).toEqual(FULL_WINDOW);
    expect(presetWindow("stored", greys(50, 150))).toEqual(FULL_WINDOW);
  });

  it("reach what image.png cannot show", () => {
    // Stored values 0 to 4095, of which image.png shows 1000 to 1255.
    const counts = Array.from({ length: 4096 }, () => 1);
    const { window, level } = presetWindow("auto", { counts, greyOf: (value) => value - 1000, ends: [0, 4095] });
    expect(window).toBeCloseTo(0.98 * 4094, -1);
    expect(level + 1000).toBeCloseTo(2047, -1);
  });

  it("are named until the window is changed by hand", () => {
    expect(presetOf(FULL_WINDOW, "lung")).toBe("stored");
    expect(presetOf({ window: 90, level: 50 }, "lung")).toBe("lung");
    expect(presetOf({ window: 90, level: 50 }, null)).toBe("");
  });
});

describe("the corners of the image", () => {
  it("say whose it is, and that a file names nobody", () => {
    const study = aStudy();
    const patient = { ...study.patient, name: "Roe^Jane", patient_id: "4711", birth_date: "1961-02-03", sex: "F", study_date: "2026-11-03" };
    expect(cornersOf({ ...study, patient })).toEqual({
      left: ["Roe, Jane", "4711", "born 3 Feb 1961, F"],
      right: ["3 Nov 2026", "PA", "#jy7j5a"],
    });
    expect(cornersOf(study).left).toEqual(["radiograph.png", "no patient in the file"]);
  });
});
