import type { Box, FindingProbability, Study, StudySummary } from "../api/schema";

export const EFFUSION: FindingProbability = {
  finding: "Effusion",
  probability: 0.42,
  threshold: 0.12,
  positive: true,
};
export const NODULE: FindingProbability = {
  finding: "Nodule",
  probability: 0.06,
  threshold: 0.09,
  positive: false,
};
export const HERNIA: FindingProbability = {
  finding: "Hernia",
  probability: 0.004,
  threshold: 0.002,
  positive: true,
};

export const EFFUSION_BOX: Box = {
  finding: "Effusion",
  score: 0.66,
  detector_score: 0.81,
  classifier_probability: 0.42,
  x_min: 10.5,
  y_min: 20,
  x_max: 110.5,
  y_max: 70,
};

const NOBODY: Study["patient"] = {
  patient_id: null,
  name: null,
  birth_date: null,
  sex: null,
  accession_number: null,
  study_date: null,
  study_instance_uid: null,
  sop_instance_uid: null,
};

/** A complete study with what a test says of it. */
export function aStudy(change: Partial<Study> = {}): Study {
  return {
    id: "01m83akp78m9e4ygq5dfjy7j5a",
    status: "complete",
    received_at: "2026-11-03T14:03:00Z",
    file_name: "radiograph.png",
    content_sha256: "0".repeat(64),
    image: { width: 400, height: 200, view: "PA", source: "png" },
    patient: NOBODY,
    ood: { accepted: true, score: 0.99, threshold: 0.5, reason: null },
    top_findings: [EFFUSION, NODULE, HERNIA],
    findings: [EFFUSION, NODULE, HERNIA],
    boxes: [EFFUSION_BOX],
    rescoring: { name: "lite0-nih14--yolov5n-both", sha256: "cd".repeat(32) },
    heatmaps: ["Effusion"],
    triage: { priority: "soon", reason: "Effusion is positive." },
    models: [{ role: "detector", name: "yolov5n-both", version: "1", sha256: "ab".repeat(32) }],
    timings_ms: { decode: 9.4, ood: 3, classifier: 80, detector: 95, archive: 12, total: 1204 },
    problems: [],
    ...change,
  };
}

export function aSummary(id: string, change: Partial<StudySummary> = {}): StudySummary {
  const { status, received_at, file_name, image, patient, ood, top_findings, triage } = aStudy();
  return { id, status, received_at, file_name, image, patient, ood, top_findings, triage, ...change };
}
