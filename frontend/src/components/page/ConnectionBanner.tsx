import type { ApiError } from "../../api/errors";
import { Icon } from "../Icon";
import styles from "./page.module.css";

/** Shown while the gateway does not respond; what was loaded before stays in sight below it. */
export function ConnectionBanner({ lost }: { readonly lost: ApiError | null }) {
  if (lost === null) {
    return null;
  }
  const title = lost.isConnectionLoss ? "The gateway cannot be reached." : `${lost.title}.`;
  const detail = lost.isConnectionLoss ? "What you see may be out of date." : lost.detail;
  return (
    <div className={styles.banner} role="alert">
      <Icon name="alert" /> <strong>{title}</strong> {detail} Trying again…
    </div>
  );
}
