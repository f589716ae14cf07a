import type { Study } from "../api/schema";
import { t } from "../i18n/t";
import { calendarDate } from "./format";
import { personName, shortId } from "./studies";

/** What stands in the upper corners of an image: whose it is, and which. */
export interface Corners {
  readonly left: readonly string[];
  readonly right: readonly string[];
}

export function cornersOf({ id, patient, image, file_name }: Study): Corners {
  const born = patient.birth_date === null ? null : t("born {0}", calendarDate(patient.birth_date));
  const person = [born, patient.sex].filter((part) => part !== null).join(", ");
  const left = [personName(patient.name), patient.patient_id, person === "" ? null : person];
  const nobody = left.every((part) => part === null);
  const right = [
    patient.study_date === null ? null : calendarDate(patient.study_date),
    [image.view, patient.accession_number].filter((part) => part !== null).join(" · ") || null,
    shortId(id),
  ];
  return {
    left: nobody ? [file_name ?? t("No name"), t("no patient in the file")] : left.filter((part) => part !== null),
    right: right.filter((part) => part !== null),
  };
}
