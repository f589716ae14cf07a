import { displayName } from "./format";

/** A radiograph that a generator made: of nobody, for whoever has none at hand. */
export interface Example {
  readonly file: string;
  /** What it was asked to show, as it is read; null where the generator takes no labels. */
  readonly asked: string | null;
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
  return { madeBy: `${name}, version ${version}`, images };
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
  return { file, asked: askedOf(labels) };
}

function askedOf(labels: unknown): string | null {
  if (!Array.isArray(labels)) {
    return null;
  }
  const names = labels.filter((label) => typeof label === "string").map(displayName);
  return names.length === 0 ? "No finding" : names.join(", ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
