import type { Priority, Study, StudyStatus, StudySummary, Worklist, WorklistState } from "../api/schema";
import { calendarDate } from "./format";
import { t } from "../i18n/t";

export const PRIORITIES: readonly Priority[] = ["urgent", "soon", "routine"];
export const STATUSES: readonly StudyStatus[] = ["complete", "partial", "failed", "rejected"];

export const WORKLIST_STATES: readonly WorklistState[] = ["new", "assigned", "opened", "done"];

export const PRIORITY_NAMES: Record<Priority, string> = {
  urgent: t("Urgent"),
  soon: t("Soon"),
  routine: t("Routine"),
};

export const STATUS_NAMES: Record<StudyStatus, string> = {
  pending: t("Being analysed"),
  complete: t("Complete"),
  partial: t("Partial"),
  failed: t("Not analysed"),
  rejected: t("Rejected"),
};

export const WORKLIST_NAMES: Record<WorklistState, string> = {
  new: t("New"),
  assigned: t("Assigned"),
  opened: t("Opened"),
  done: t("Done"),
};

const ROLE_NAMES: Record<string, string> = {
  ood: t("Image check"),
  classifier: t("Classifier"),
  detector: t("Detector"),
};

export function roleName(role: string): string {
  return ROLE_NAMES[role] ?? role;
}

/** What the list and the title call a study: the patient if the file names one, else the file. */
export function studyTitle(study: Study | StudySummary): string {
  const { name, patient_id: patientId } = study.patient;
  return personName(name) ?? patientId ?? study.file_name ?? t("Study {0}", study.id.slice(-6));
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

/** What tells one study of a patient from another, and one patient from a namesake. */
export function identityParts({ patient, image, file_name }: Study | StudySummary): string[] {
  const { name, patient_id, birth_date, accession_number, study_date } = patient;
  const named = personName(name) !== null;
  return [
    named ? patient_id : null,
    birth_date === null ? null : t("born {0}", calendarDate(birth_date)),
    accession_number,
    image.view,
    study_date === null ? null : t("taken {0}", calendarDate(study_date)),
    named || patient_id !== null ? file_name : null,
  ].filter((part) => part !== null);
}

/**
 * Whether a study's answers stay hidden in lists, where readers say first what they see.
 *
 * The list does not know who gave a first opinion; what is done has been read by somebody.
 */
export function isKeptBack({ worklist }: { readonly worklist: Worklist }, readsFirst: boolean): boolean {
  return readsFirst && worklist.state !== "done";
}

/** The end of an id, which is random: no two rows have the same. */
export function shortId(id: string): string {
  return `#${id.slice(-6)}`;
}

/** Whole minutes that a study has waited for someone to open it. */
export function minutesWaited(receivedAt: string, now: Date): number {
  return Math.max(0, Math.floor((now.getTime() - new Date(receivedAt).getTime()) / 60_000));
}

/** Whether nobody opened a study for so long that it rose above the others. */
export function isOverdue(
  { worklist, received_at }: { readonly worklist: Worklist; readonly received_at: string },
  maxWaitMinutes: number,
  now: Date,
): boolean {
  const limited = maxWaitMinutes > 0 && worklist.state === "new";
  return limited && minutesWaited(received_at, now) >= maxWaitMinutes;
}
