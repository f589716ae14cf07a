import { expect, it } from "vitest";

import type { Region } from "../api/schema";
import { EFFUSION_BOX } from "../test/studies";
import { speakersOf } from "./mergedBoxes";

const box = (finding: Region, x: number) => ({ ...EFFUSION_BOX, finding, x_min: x, x_max: x + 100 });

it("a nodule and a mass in one place are one region, for which the more certain speaks", () => {
  expect(speakersOf([box("Mass", 0), box("Nodule", 10), box("Nodule", 300)])).toEqual([0, 0, 2]);
  expect(speakersOf([box("Nodule", 0), box("Mass", 10)])).toEqual([0, 0]);
});

it("other regions in one place stay apart, and so do two of one kind", () => {
  expect(speakersOf([box("Mass", 0), box("Effusion", 5)])).toEqual([0, 1]);
  expect(speakersOf([box("Nodule", 0), box("Nodule", 5)])).toEqual([0, 1]);
  expect(speakersOf([box("Mass", 0), box("Nodule", 70)])).toEqual([0, 1]);
});
