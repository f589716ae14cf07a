import { expect, it } from "vitest";

import published from "../../public/examples/index.json";
import { choiceOf, examplesOf } from "./examples";

const GENERATOR = { name: "pggan-64", version: "2", sha256: "ab".repeat(32), side_px: 64 };

function anExample(file: string, labels: unknown): Record<string, unknown> {
  return { file, labels, seed: 1, truncation: null, side_px: 512 };
}

it("tells what each image was asked for, and who made it", () => {
  const index = {
    generator: GENERATOR,
    examples: [
      anExample("synthetic-no-finding.png", []),
      anExample("synthetic-pleural-thickening.png", ["Pleural_Thickening"]),
      anExample("synthetic-effusion-mass.png", ["Effusion", "Mass"]),
      anExample("synthetic-4.png", null),
    ],
  };
  expect(examplesOf(index)).toEqual({
    madeBy: "pggan-64, version 2",
    images: [
      { file: "synthetic-no-finding.png", asked: "No finding", candidates: null },
      { file: "synthetic-pleural-thickening.png", asked: "Pleural thickening", candidates: null },
      { file: "synthetic-effusion-mass.png", asked: "Effusion, Mass", candidates: null },
      { file: "synthetic-4.png", asked: null, candidates: null },
    ],
  });
});

it.each([
  null,
  [],
  "<html>",
  { generator: null, examples: [] },
  { generator: GENERATOR, examples: [] },
  { generator: GENERATOR },
  { generator: { name: 3, version: "1" }, examples: [anExample("synthetic-1.png", null)] },
  { examples: [anExample("synthetic-1.png", null)] },
])("offers nothing where there is nothing to offer: %j", (index) => {
  expect(examplesOf(index)).toBeNull();
});

it.each(["image.png", "synthetic-../secret.png", "https://elsewhere.test/synthetic-1.png", 7, null])(
  "leaves out what is not named as a synthetic image beside the page: %s",
  (file) => {
    const examples = [anExample("synthetic-1.png", null), { file, labels: [] }, "image"];
    expect(examplesOf({ generator: GENERATOR, examples })?.images).toEqual([
      { file: "synthetic-1.png", asked: null, candidates: null },
    ]);
  },
);

it("says that the published images were chosen, and among how many at least", () => {
  const images = examplesOf(published)?.images ?? [];
  const fewest = Math.min(...published.examples.map((example) => example.candidates));
  expect(images).toHaveLength(published.examples.length);
  expect(choiceOf(images)).toContain(`Each was chosen among ${fewest} or more`);
});

it("says of images that nobody chose that they need not show what was asked for", () => {
  const chosen = { ...anExample("synthetic-1.png", ["Mass"]), candidates: 200 };
  const plain = anExample("synthetic-2.png", ["Mass"]);
  const imagesOf = (examples: unknown[]) => examplesOf({ generator: GENERATOR, examples })?.images ?? [];
  expect(choiceOf(imagesOf([plain, chosen]))).toMatch(/need not show it/);
  expect(choiceOf(imagesOf([anExample("synthetic-4.png", null)]))).toBeNull();
});
