import type { Finding, Region } from "../api/schema";

/**
 * A colour for each finding, the same as in the images that the gateway draws; a test
 * compares this table with `cxr_gateway/rendering/colours.py`, where it is explained.
 */
export const FINDING_COLOURS: Record<Finding | Region, string> = {
  Atelectasis: "#88ffff",
  Calcification: "#aaffcc",
  Cardiomegaly: "#aa55ff",
  Consolidation: "#ff9900",
  Diffuse_Nodule: "#ccaa77",
  Edema: "#aaccff",
  Effusion: "#5588bb",
  Emphysema: "#66aabb",
  Fibrosis: "#aa7755",
  Fracture: "#00ccaa",
  Hernia: "#aa99ee",
  Infiltration: "#dddd88",
  Mass: "#ff0088",
  Nodule: "#ff99aa",
  Pleural_Thickening: "#009988",
  Pneumonia: "#aaff00",
  Pneumothorax: "#ff2211",
};

const OF_A_NEWER_GATEWAY = "#ffffff";

export function colourOf(finding: string): string {
  return (FINDING_COLOURS as Record<string, string>)[finding] ?? OF_A_NEWER_GATEWAY;
}
