import type { Study, StudySummary } from "../api/schema";
import type { Size, View } from "./geometry";
import { calendarDate } from "./format";
import { t } from "../i18n/t";

/** When another image was taken, seen from one; null where one of the files does not say. */
export type When = "earlier" | "sameDay" | "later" | null;

/** When an image was taken, as far as that is known, to put images in their order. */
function taken({ patient, received_at }: Study | StudySummary): string {
  return patient.study_date ?? received_at.slice(0, 10);
}

export function whenOf(study: Study, other: StudySummary): When {
  const [here, there] = [study.patient.study_date, other.patient.study_date];
  if (here === null || there === null) {
    return null;
  }
  return there < here ? "earlier" : there > here ? "later" : "sameDay";
}

/** "Earlier: 7 Feb 2025"; nothing is called earlier that is not known to be. */
export function whenText(study: Study, other: StudySummary): string {
  const date = other.patient.study_date === null ? t("date unknown") : calendarDate(other.patient.study_date);
  switch (whenOf(study, other)) {
    case "earlier":
      return t("Earlier: {0}", date);
    case "later":
      return t("Later: {0}", date);
    case "sameDay":
      return t("Same day: {0}", date);
    case null:
      return t("Order unknown: {0}", date);
  }
}

/**
 * Other analysed images of the same patient, the latest first; none where the file names nobody.
 *
 * The number and who gave it: hospitals give the same numbers to different people.
 */
export function priorsOf(study: Study, listed: readonly StudySummary[]): StudySummary[] {
  const { patient_id: number, issuer_of_patient_id: issuer } = study.patient;
  if (number === null) {
    return [];
  }
  return listed
    .filter(
      ({ id, patient, status }) =>
        id !== study.id &&
        patient.patient_id === number &&
        patient.issuer_of_patient_id === issuer &&
        status !== "rejected",
    )
    .sort((a, b) => taken(b).localeCompare(taken(a)) || b.id.localeCompare(a.id));
}

/** What is laid beside a study unasked: the latest that is not known to be later than it. */
export function firstPrior(study: Study, priors: readonly StudySummary[]): StudySummary | null {
  return priors.find((one) => whenOf(study, one) !== "later") ?? null;
}

/** The same part of another image: both fill their frames alike, whatever their pixels. */
export function linkedView(view: View, image: Size, other: Size): View {
  return { ...view, scale: (view.scale * image.width) / other.width };
}
