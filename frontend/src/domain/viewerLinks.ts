import type { Study, ViewerLink } from "../api/schema";

export interface OpenedElsewhere {
  readonly name: string;
  readonly href: string;
  /** Of a program of this computer, which needs no tab. */
  readonly isProgram: boolean;
}

/** What a program may be told: a quotation mark would end one of its commands and begin another. */
const PLAIN = /^[\w.^-]+$/u;

/** Where else this study can be opened: the links for which its file has all that they name. */
export function elsewhere(links: readonly ViewerLink[], { patient }: Study): OpenedElsewhere[] {
  const values: Record<string, string | null> = {
    study_uid: patient.study_instance_uid,
    patient_id: patient.patient_id,
    accession: patient.accession_number,
  };
  return links.flatMap(({ name, url }) => {
    const isProgram = url.startsWith("weasis:");
    const isUsable = (value: string | null | undefined): value is string =>
      value !== null && value !== undefined && value !== "" && (!isProgram || PLAIN.test(value));
    const places = [...url.matchAll(/\{(\w+)\}/gu)].map(([, place]) => place ?? "");
    if (!places.every((place) => isUsable(values[place]))) {
      return [];
    }
    const href = url.replace(/\{(\w+)\}/gu, (_, place: string) => encodeURIComponent(values[place] ?? ""));
    return [{ name, href, isProgram }];
  });
}
