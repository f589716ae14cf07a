/** What the running models were measured to be worth, for the study that is open. */

import type { FindingLevels, MeasuredPriority, Study, SystemStatus } from "../api/schema";
import { t } from "../i18n/t";

export interface Trust {
  /** Whether a map points at findings better than a guess that never saw the image. */
  readonly mapsAreEvidence: boolean;
  readonly levels: readonly FindingLevels[];
  /** Whether the levels follow from thresholds that were made for another purpose. */
  readonly levelsAreDerived: boolean;
  readonly priorities: readonly MeasuredPriority[];
  /** Whether both inference services say which model they run; without, nothing is known of what it was measured to be worth. */
  readonly servicesAnswer: boolean;
  /** Of the weights of those models that are active still, by their sha256. */
  readonly licences: ReadonlyMap<string, string>;
}

export const NO_TRUST: Trust = {
  mapsAreEvidence: false,
  levels: [],
  levelsAreDerived: false,
  priorities: [],
  servicesAnswer: false,
  licences: new Map(),
};

/** Figures of the models that are active now say nothing of a study that others analysed. */
export function trustOf(system: SystemStatus | null, study: Study | null): Trust {
  if (system === null || study === null) {
    return NO_TRUST;
  }
  const used = study.models.find(({ role }) => role === "classifier");
  const service = system.services.find(({ role }) => role === "classifier");
  const isActive = used !== undefined && service?.model?.sha256 === used.sha256;
  const model = study.triage?.model ?? null;
  const sameTriage = model !== null && model.sha256 === system.triage.model?.sha256;
  return {
    mapsAreEvidence: isActive && service.maps_are_evidence === true,
    levels: isActive ? system.finding_levels : [],
    levelsAreDerived: isActive && service.levels === "derived from thresholds",
    priorities: sameTriage ? system.triage.measured : [],
    servicesAnswer: system.services.every(({ model }) => model !== null),
    licences: licencesOf(system, study),
  };
}

function licencesOf({ services }: SystemStatus, study: Study): Map<string, string> {
  const licences = new Map<string, string>();
  for (const { model, licence } of services) {
    if (model !== null && licence !== null && study.models.some(({ sha256 }) => sha256 === model.sha256)) {
      licences.set(model.sha256, licence);
    }
  }
  return licences;
}

/** What a map is called: never evidence unless it was measured to be. */
export function mapTitle({ mapsAreEvidence }: Pick<Trust, "mapsAreEvidence">): string {
  return mapsAreEvidence ? t("Heat map") : t("Where the network looked (not evidence)");
}
