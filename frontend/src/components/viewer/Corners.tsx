import type { Study } from "../../api/schema";
import { cornersOf } from "../../domain/identity";
import styles from "./viewer.module.css";

/** Whose image it is, on the image. Hidden from screen readers, who hear it from the result. */
export function Corners({ study }: { readonly study: Study }) {
  const { left, right } = cornersOf(study);
  return (
    <div className={styles.corners} aria-hidden="true" data-corners>
      <Lines lines={left} />
      <Lines lines={right} />
    </div>
  );
}

function Lines({ lines }: { readonly lines: readonly string[] }) {
  return (
    <ul>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}
