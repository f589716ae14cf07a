import type { Box, FindingProbability, Study, StudySummary, SystemStatus, Triage } from "../api/schema";

export const EFFUSION: FindingProbability = {
  finding: "Effusion",
  probability: 0.42,
  level: "likely",
  possible_threshold: 0.12,
  likely_threshold: 0.3,
};
export const NODULE: FindingProbability = {
  finding: "Nodule",
  probability: 0.06,
  level: "unlikely",
  possible_threshold: 0.09,
  likely_threshold: 0.2,
};
export const HERNIA: FindingProbability = {
  finding: "Hernia",
  probability: 0.004,
  level: "possible",
  possible_threshold: 0.002,
  likely_threshold: 0.02,
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

const CLASSIFIER_SHA = "ef".repeat(32);
const TRIAGE_MODEL = { name: "lite0-nih14--yolov5n-both", sha256: "12".repeat(32) };

/** Decided by the classifier's answer about effusion. */
export const SOON: Triage = {
  priority: "soon",
  score: 0.04,
  same_day_score: 0.41,
  urgent_threshold: 0.2,
  soon_threshold: 0.33,
  cause: { finding: "Effusion", region: null, value: 0.42, usual: 0.07, level: "likely", box: null },
  model: TRIAGE_MODEL,
  reason: "A finding to be read the same day is probable, most of all effusion.",
};

const NOBODY: Study["patient"] = {
  patient_id: null,
  issuer_of_patient_id: null,
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
    image: {
      width: 400,
      height: 200,
      view: "PA",
      source: "png",
      notes: [],
      stored: { columns: 400, rows: 200, orientation: 1 },
    },
    quality: {
      effective_px: 200,
      grey_levels: 220,
      black_share: 0,
      white_share: 0,
      mean_grey: 130,
      rotation_degrees: 0,
      inverted: false,
      part_of_chest: -0.1,
      blocking: 0.1,
      warnings: [],
      unreadable: null,
    },
    patient: NOBODY,
    ood: { accepted: true, score: 0.99, threshold: 0.5, reason: null },
    top_findings: [EFFUSION, HERNIA, NODULE],
    findings: [EFFUSION, HERNIA, NODULE],
    boxes: [EFFUSION_BOX],
    rescoring: null,
    heatmaps: ["Effusion", "Hernia"],
    triage: SOON,
    models: [
      { role: "classifier", name: "lite0-nih14", version: "2", sha256: CLASSIFIER_SHA },
      { role: "detector", name: "yolov5n-both", version: "1", sha256: "ab".repeat(32) },
    ],
    calibrated: true,
    timings_ms: { decode: 9.4, ood: 3, classifier: 80, detector: 95, archive: 12, total: 1204 },
    problems: [],
    ...change,
  };
}

export function aSummary(id: string, change: Partial<StudySummary> = {}): StudySummary {
  const { status, received_at, file_name, image, patient, ood, top_findings, triage } = aStudy();
  const worklist = { state: "new", by: null, at: null, to: null } as const;
  return { id, status, received_at, file_name, image, patient, ood, top_findings, triage, worklist, ...change };
}

/** The installation that analysed `aStudy`, with figures of what its answers mean. */
export function aSystem(change: Partial<SystemStatus> = {}): SystemStatus {
  const point = (threshold: number, precision: number) => ({
    ...{ threshold, rule: "specificity 0.95", split: "test", n: 969, n_positive: 60 },
    ...{ sensitivity: null, specificity: null, precision: { value: precision, low: 0.2, high: 0.6 } },
  });
  const [classifier] = aStudy().models;
  return {
    version: "0.1.0",
    intended_use: "Research.",
    services: [
      {
        ...{ role: "classifier", ready: true, detail: null, model: classifier ?? null },
        ...{ levels: "measured", maps_are_evidence: false },
        ...{ licence: "AGPL-3.0-or-later", calibrated: true, has_maps: true },
      },
    ],
    models: [],
    finding_levels: [{ finding: "Effusion", possible: point(0.12, 0.21), likely: point(0.3, 0.43) }],
    triage: {
      ...{ model: TRIAGE_MODEL, detail: "", immediate: ["Pneumothorax"], same_day: ["Effusion"] },
      ...{ alert_budget: 0.1, soon_budget: 0.25, urgent_threshold: 0.2, soon_threshold: 0.33 },
      ...{ thresholds_from: "reference", tuned_at: null, tuned_on: null },
      measured: [
        { priority: "urgent", n_called: 97, n_immediate: 31, n_same_day: 60 },
        { priority: "soon", n_called: 240, n_immediate: 24, n_same_day: 96 },
        { priority: "routine", n_called: 632, n_immediate: 19, n_same_day: 88 },
      ],
    },
    triage_rules: [],
    max_wait_minutes: 60,
    max_upload_bytes: 1e8,
    max_pixels: 1e8,
    accepted: [],
    viewer_links: [],
    ...change,
  };
}
