import { expect, it } from "vitest";

import gatewaysTable from "../../../services/gateway/cxr_gateway/rendering/colours.py?raw";
import { colourOf, FINDING_COLOURS } from "./colours";

it("the page's colours are those of the images that the gateway draws", () => {
  const table = /^FINDING_COLOURS[^{]*\{(?<entries>[^}]*)\}/mu.exec(gatewaysTable)?.groups?.["entries"] ?? "";
  const entries = [...table.matchAll(/"(\w+)": "(#[0-9a-f]{6})"/gu)].map(([, name, hex]) => [name, hex]);
  expect(entries).toHaveLength(17);
  expect(FINDING_COLOURS).toEqual(Object.fromEntries(entries));
});

it("a label of a model's own has always the same of these colours", () => {
  // As `colour_of` of the gateway; its test has the same pair.
  expect(colourOf("Stent")).toBe("#ff99aa");
  expect(Object.values(FINDING_COLOURS)).toContain(colourOf("Something_New"));
});
