/**
 * A colour for each finding, the same as in the images that the gateway draws; a test
 * compares this table with `cxr_gateway/rendering/colours.py`, where it is explained.
 */
export const FINDING_COLOURS: Record<string, string> = {
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

export function colourOf(finding: string): string {
  const palette = Object.values(FINDING_COLOURS).sort();
  // A label of a model's own has one of the colours, always the same, as in the gateway's images.
  const sum = Array.from(finding).reduce((total, letter) => total + (letter.codePointAt(0) ?? 0), 0);
  return FINDING_COLOURS[finding] ?? palette[sum % palette.length] ?? "#ffffff";
}
