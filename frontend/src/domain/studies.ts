import type { Priority, Study, StudyStatus, StudySummary } from "../api/schema";

export const PRIORITIES: readonly Priority[] = ["urgent", "soon", "routine"];
export const STATUSES: readonly StudyStatus[] = ["complete", "partial", "failed", "rejected"];

export const PRIORITY_NAMES: Record<Priority, string> = {
  urgent: "Urgent",
  soon: "Soon",
  routine: "Routine",
};

export const STATUS_NAMES: Record<StudyStatus, string> = {
  complete: "Complete",
  partial: "Partial",
  failed: "Not analysed",
  rejected: "Rejected",
};

const ROLE_NAMES: Record<string, string> = {
  ood: "Image check",
  classifier: "Classifier",
  detector: "Detector",
};

export function roleName(role: string): string {
  return ROLE_NAMES[role] ?? role;
}

/** What the list and the title call a study: the patient if the file names one, else the file. */
export function studyTitle(study: Study | StudySummary): string {
  const { name, patient_id: patientId } = study.patient;
  return personName(name) ?? patientId ?? study.file_name ?? `Study ${study.id.slice(-6)}`;
}

/** A DICOM person name, `FAMILY^GIVEN^MIDDLE^PREFIX^SUFFIX`, as it is read aloud. */
export function personName(name: string | null): string | null {
  if (name === null) {
    return null;
  }
  const [family = "", ...given] = name.split("=", 1)[0]?.split("^").map((part) => part.trim()) ?? [];
  const rest = given.filter((part) => part !== "").join(" ");
  const readable = [family, rest].filter((part) => part !== "").join(", ");
  return readable === "" ? null : readable;
}

/** Whether the result misses something that the services may give when asked again. */
export function canRerun(study: Study): boolean {
  return study.status === "partial" || study.status === "failed";
}

/** The neighbour in the list, for stepping through it by keyboard; null at its end. */
export function neighbour(
  studies: readonly StudySummary[],
  currentId: string | null,
  step: 1 | -1,
): StudySummary | null {
  const index = studies.findIndex((study) => study.id === currentId);
  if (index === -1) {
    return studies[0] ?? null;
  }
  return studies[index + step] ?? null;
}
