import type { Finding, FindingProbability, Study } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { displayName, percent, thresholdPercent } from "../../domain/format";
import { Icon } from "../Icon";
import { BarScale, FindingBar, Verdict } from "./FindingBar";
import styles from "./result.module.css";

interface TopFindingsProps {
  readonly study: Study;
  readonly heatmap: Finding | null;
  readonly onHeatmap: (finding: Finding | null) => void;
}

export function TopFindings({ study, heatmap, onHeatmap }: TopFindingsProps) {
  return (
    <section className={styles.section} aria-labelledby="top-findings">
      <h3 id="top-findings">Most likely findings</h3>
      <ol className={styles.top}>
        {study.top_findings.map((finding) => (
          <TopFinding
            key={finding.finding}
            finding={finding}
            hasHeatmap={study.heatmaps.includes(finding.finding)}
            heatmapShown={heatmap === finding.finding}
            onHeatmap={onHeatmap}
          />
        ))}
      </ol>
      <BarScale />
    </section>
  );
}

interface TopFindingProps {
  readonly finding: FindingProbability;
  readonly hasHeatmap: boolean;
  readonly heatmapShown: boolean;
  readonly onHeatmap: (finding: Finding | null) => void;
}

function TopFinding({ finding, hasHeatmap, heatmapShown, onHeatmap }: TopFindingProps) {
  const name = displayName(finding.finding);
  return (
    <li className={styles.finding} data-finding={finding.finding}>
      <div className={styles.findingHead}>
        <span className={styles.swatch} style={{ backgroundColor: colourOf(finding.finding) }} />
        <span className={styles.findingName}>{name}</span>
        <span className={styles.probability}>{percent(finding.probability)}</span>
      </div>
      <FindingBar finding={finding} />
      <div className={styles.findingFoot}>
        <Verdict positive={finding.positive} />
        <span className={styles.muted}>threshold {thresholdPercent(finding.threshold)}</span>
        {hasHeatmap && (
          <button
            type="button"
            className="chip"
            aria-pressed={heatmapShown}
            aria-label={`Heat map of ${name.toLowerCase()}`}
            onClick={() => onHeatmap(heatmapShown ? null : finding.finding)}
          >
            <Icon name="heat" size={14} /> Heat map
          </button>
        )}
      </div>
    </li>
  );
}
