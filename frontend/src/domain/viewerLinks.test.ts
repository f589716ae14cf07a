import { describe, expect, it } from "vitest";

import { aStudy } from "../test/studies";
import { elsewhere } from "./viewerLinks";

const OHIF = { name: "OHIF", url: "https://pacs.example/viewer?StudyInstanceUIDs={study_uid}" };
const WEASIS = { name: "Weasis", url: "weasis://%24dicom%3Ars%20-r%20%22patientID%3D{patient_id}%22" };
const RIS = { name: "RIS", url: "https://ris.example/{accession}?patient={patient_id}" };

function study(patient: Partial<ReturnType<typeof aStudy>["patient"]>): ReturnType<typeof aStudy> {
  return aStudy({ patient: { ...aStudy().patient, ...patient } });
}

describe("links to other viewers", () => {
  it("are there for what the file says, in the operator's order", () => {
    const whole = study({ study_instance_uid: "1.2.3", patient_id: "4711", accession_number: "A-1" });
    expect(elsewhere([OHIF, WEASIS, RIS], whole)).toEqual([
      { name: "OHIF", href: "https://pacs.example/viewer?StudyInstanceUIDs=1.2.3", isProgram: false },
      { name: "Weasis", href: "weasis://%24dicom%3Ars%20-r%20%22patientID%3D4711%22", isProgram: true },
      { name: "RIS", href: "https://ris.example/A-1?patient=4711", isProgram: false },
    ]);
  });

  it("are missing where the file lacks one of their values", () => {
    expect(elsewhere([OHIF, WEASIS, RIS], study({}))).toEqual([]);
    const names = elsewhere([OHIF, WEASIS, RIS], study({ patient_id: "4711" })).map(({ name }) => name);
    expect(names).toEqual(["Weasis"]);
  });

  it("cannot be turned into other links by what a file says", () => {
    const odd = study({ patient_id: `a" $dicom:get -u "https://elsewhere.example`, accession_number: "../x?y#z&{patient_id}" });
    expect(elsewhere([WEASIS, RIS], odd)).toEqual([
      {
        name: "RIS",
        href: "https://ris.example/..%2Fx%3Fy%23z%26%7Bpatient_id%7D?patient=a%22%20%24dicom%3Aget%20-u%20%22https%3A%2F%2Felsewhere.example",
        isProgram: false,
      },
    ]);
  });
});
