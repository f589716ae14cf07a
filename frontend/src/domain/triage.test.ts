import { describe, expect, it } from "vitest";

import type { TriageCause } from "../api/schema";
import { INITIAL_VIEWER, shownOf, stepHeatmap } from "../state/viewer";
import { aStudy, aSummary, aSystem, EFFUSION, EFFUSION_BOX, NODULE, SOON } from "../test/studies";
import { levelMeaning } from "./levels";
import { cardsOf, causeBox, firstMap, headline, priorityMeaning } from "./triage";
import { mapTitle, NO_TRUST, trustOf } from "./trust";

const OF_NODULE: TriageCause = {
  finding: "Nodule", region: null, value: 0.06, usual: 0.01, level: "unlikely", box: null,
};
const OF_REGION: TriageCause = {
  finding: "Effusion", region: "Effusion", value: 0.81, usual: 0.01, level: "likely", box: 0,
};
const OF_FRACTURE: TriageCause = {
  finding: null, region: "Fracture", value: 0.44, usual: 0.01, level: null, box: 0,
};
const because = (cause: TriageCause | null) => ({ triage: { ...SOON, cause } });

describe("the cause comes first", () => {
  it("in the cards, even where three others are likelier", () => {
    const names = (study: ReturnType<typeof aStudy>) => cardsOf(study).map(({ finding }) => finding);
    expect(names(aStudy(because(OF_NODULE)))).toEqual(["Nodule", "Effusion", "Hernia"]);
    const study = aStudy({ ...because(OF_NODULE), top_findings: [EFFUSION] });
    expect(names(study)).toEqual(["Nodule", "Effusion"]);
    expect(names(aStudy(because(null)))).toEqual(["Effusion", "Hernia", "Nodule"]);
  });

  it.each([
    [OF_NODULE, "Nodule 6%, unlikely"],
    [OF_REGION, "Effusion, region marked"],
    [OF_FRACTURE, "Fracture, region marked"],
    [null, "Effusion 42%, likely"],
  ])("in a row of the list", (cause, text) => {
    expect(headline(aSummary("a", because(cause)))).toBe(text);
  });

  it("as the map that is offered, as far as there is one", () => {
    expect(firstMap(aStudy({ ...because(OF_NODULE), heatmaps: ["Effusion", "Nodule"] }))).toBe("Nodule");
    expect(firstMap(aStudy({ ...because(OF_NODULE), heatmaps: ["Effusion"] }))).toBe("Effusion");
    expect(firstMap(aStudy({ heatmaps: [] }))).toBeNull();
  });

  it("as the box that is pointed out, until somebody points at another", () => {
    expect(causeBox(aStudy(because(OF_REGION)))).toEqual({ index: 0, box: EFFUSION_BOX });
    expect(causeBox(aStudy({ ...because(OF_REGION), boxes: [] }))).toBeNull();
    expect(shownOf(INITIAL_VIEWER, aStudy(because(OF_REGION)), false).selectedBox).toBe(0);
    const chosen = { ...INITIAL_VIEWER, selectedBox: null };
    expect(shownOf(chosen, aStudy(because(OF_REGION)), false).selectedBox).toBeNull();
  });
});

const OVERLAID = { ...INITIAL_VIEWER, overlayFirst: true };

describe("maps", () => {
  it("lie over the image unasked only as measured evidence of the cause", () => {
    expect(shownOf(OVERLAID, aStudy(), true)).toMatchObject({ heatmap: "Effusion", heatmapShown: true });
    expect(shownOf(OVERLAID, aStudy(), false)).toMatchObject({ heatmap: "Effusion", heatmapShown: false });
    expect(shownOf(OVERLAID, aStudy(because(null)), true).heatmapShown).toBe(false);
    expect(shownOf({ ...INITIAL_VIEWER, heatmapShown: true }, aStudy(), false).heatmapShown).toBe(true);
    expect(shownOf({ ...INITIAL_VIEWER, heatmapShown: true }, aStudy({ heatmaps: [] }), true).heatmapShown).toBe(false);
  });

  it("come one after another, and round", () => {
    expect(stepHeatmap(["Mass", "Nodule"], "Mass", 1)).toBe("Nodule");
    expect(stepHeatmap(["Mass", "Nodule"], "Nodule", 1)).toBe("Mass");
    expect(stepHeatmap(["Mass", "Nodule"], "Mass", -1)).toBe("Nodule");
    expect(stepHeatmap([], null, 1)).toBeNull();
  });
});

describe("measured meaning", () => {
  const { measured } = aSystem().triage;

  it("of a priority is said as a count of a hundred test images", () => {
    expect(priorityMeaning("urgent", measured)).toBe(
      "Of 100 test images called urgent, 32 showed an immediate finding.",
    );
    expect(priorityMeaning("soon", measured)).toContain("40 showed a finding to be read the same day, 10 an immediate");
    expect(priorityMeaning("routine", measured)).toContain("3 showed an immediate finding all the same");
  });

  it("is not made up from a handful of images", () => {
    expect(priorityMeaning("urgent", [])).toBeNull();
    const few = [{ priority: "urgent" as const, n_called: 3, n_immediate: 1, n_same_day: 1 }];
    expect(priorityMeaning("urgent", few)).toBeNull();
  });

  it("of a level, where it was measured", () => {
    const levels = aSystem().finding_levels;
    expect(levelMeaning(EFFUSION, levels)).toBe("Of 100 test images called likely, 43 showed it.");
    expect(levelMeaning({ ...EFFUSION, level: "possible" }, levels)).toBe(
      "Of 100 test images called possible or likely, 21 showed it.",
    );
    expect(levelMeaning(NODULE, levels)).toBeNull();
    expect(levelMeaning({ ...NODULE, level: "likely" }, levels)).toBeNull();
    // A model of one's own, measured on 28 images: "of 100" would be made up.
    const few = levels.map((one) => ({ ...one, likely: one.likely && { ...one.likely, n: 28 } }));
    expect(levelMeaning(EFFUSION, few)).toBeNull();
  });
});

describe("trust", () => {
  it("holds for the models that analysed the study, and for no others", () => {
    expect(trustOf(aSystem(), aStudy()).priorities).toHaveLength(3);
    expect(trustOf(aSystem(), aStudy()).levels).toHaveLength(1);
    const others = aStudy({ models: [], triage: { ...SOON, model: null } });
    expect(trustOf(aSystem(), others)).toEqual({ ...NO_TRUST, servicesAnswer: true });
    expect(trustOf(null, aStudy())).toEqual(NO_TRUST);
  });

  it("calls a map evidence only where that was measured", () => {
    const system = aSystem();
    const measured = { ...system, services: system.services.map((one) => ({ ...one, maps_are_evidence: true })) };
    expect(mapTitle(trustOf(measured, aStudy()))).toBe("Heat map");
    expect(mapTitle(trustOf(system, aStudy()))).toBe("Where the network looked (not evidence)");
    const unknown = { ...system, services: system.services.map((one) => ({ ...one, maps_are_evidence: null })) };
    expect(mapTitle(trustOf(unknown, aStudy()))).toBe("Where the network looked (not evidence)");
  });

  it("knows levels that were only derived", () => {
    const system = aSystem();
    const derived = { ...system, services: system.services.map((one) => ({ ...one, levels: "derived from thresholds" as const })) };
    expect(trustOf(derived, aStudy()).levelsAreDerived).toBe(true);
    expect(trustOf(system, aStudy()).levelsAreDerived).toBe(false);
  });
});
