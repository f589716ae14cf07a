import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";

import type { UploadedFile } from "./app";

/** The public CR radiograph of a chest. */
export const SAMPLE = variable("CXR_SAMPLE");

/** The DICOM preamble is free for whatever a program wants to write there. */
const PREAMBLE_BYTES = 128;

/** One of pydicom's public files, for instance `RG3_UNCI.dcm`, a leg. */
export function dicomFile(name: string): UploadedFile {
  return asUpload(name, readFileSync(join(variable("CXR_SAMPLES_DIR"), name)));
}

/** The sample in a file that no gateway has seen: only its preamble differs. */
export function unseenSample(name: string): UploadedFile {
  const content = readFileSync(SAMPLE);
  randomBytes(PREAMBLE_BYTES).copy(content, 0);
  return asUpload(name, content);
}

export function sample(): UploadedFile {
  return asUpload(basename(SAMPLE), readFileSync(SAMPLE));
}

export function asUpload(name: string, buffer: Buffer): UploadedFile {
  return { name, mimeType: "application/dicom", buffer };
}

/** What the harness that starts the system tells the specs about it. */
export function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") {
    throw new Error(`${name} is not set; start the specs by tests/e2e/test_page.py`);
  }
  return value;
}
