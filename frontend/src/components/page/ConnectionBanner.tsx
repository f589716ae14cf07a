import type { ApiError } from "../../api/errors";
import { Icon } from "../Icon";
import { t } from "../../i18n/t";
import styles from "./page.module.css";

/** Shown while the gateway does not respond; what was loaded before stays in sight below it. */
export function ConnectionBanner({ lost }: { readonly lost: ApiError | null }) {
  if (lost === null) {
    return null;
  }
  const title = lost.isConnectionLoss ? t("The gateway cannot be reached.") : `${lost.title}.`;
  const detail = lost.isConnectionLoss ? t("What you see may be out of date.") : lost.detail;
  return (
    <div className={styles.banner} role="alert">
      <Icon name="alert" /> <strong>{title}</strong>{" "}{t("{0} Trying again…", detail)}
    </div>
  );
}
