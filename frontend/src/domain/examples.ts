import { displayName } from "./format";
import { t } from "../i18n/t";

/** A radiograph that a generator made: of nobody, for whoever has none at hand. */
export interface Example {
  readonly file: string;
  /** What it was asked to show, as it is read; null where the generator takes no labels. */
  readonly asked: string | null;
  /** Among how many it was chosen so that the models agree with it; null: it was not. */
  readonly candidates: number | null;
}

export interface Examples {
  /** The generator's name and version. */
  readonly madeBy: string;
  readonly images: readonly Example[];
}

const FILE_NAME = /^synthetic-[a-z0-9-]+\.png$/;

/** The examples of an `index.json`; null where it has none, or is none. */
export function examplesOf(index: unknown): Examples | null {
  if (!isObject(index) || !isObject(index["generator"]) || !Array.isArray(index["examples"])) {
    return null;
  }
  const { name, version } = index["generator"];
  const images = index["examples"].map(exampleOf).filter((image) => image !== null);
  if (typeof name !== "string" || typeof version !== "string" || images.length === 0) {
    return null;
  }
  return { madeBy: t("{0}, version {1}", name, version), images };
}

function exampleOf(entry: unknown): Example | null {
  if (!isObject(entry)) {
    return null;
  }
  const { file, labels } = entry;
  // By its name a study is known as synthetic wherever it is listed.
  if (typeof file !== "string" || !FILE_NAME.test(file)) {
    return null;
  }
  const { candidates } = entry;
  return { file, asked: askedOf(labels), candidates: typeof candidates === "number" ? candidates : null };
}

/** How the examples came to be shown, for a person: chosen by the models, or as they were made. */
export function choiceOf(images: readonly Example[]): string | null {
  const among = images.flatMap(({ candidates }) => candidates ?? []);
  if (among.length === images.length) {
    return t(
      "Each was chosen among {0} or more so that this system's models agree with its label, so they say nothing of how good the models are.",
      Math.min(...among),
    );
  }
  const wereAsked = images.some(({ asked }) => asked !== null);
  return wereAsked
    ? t("The label is what the generator was asked for; the image need not show it.")
    : null;
}

function askedOf(labels: unknown): string | null {
  if (!Array.isArray(labels)) {
    return null;
  }
  const names = labels.filter((label) => typeof label === "string").map(displayName);
  return names.length === 0 ? t("No finding") : names.join(", ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
