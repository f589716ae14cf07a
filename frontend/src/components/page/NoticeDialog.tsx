import { Dialog } from "./Dialog";
import { t } from "../../i18n/t";

interface NoticeDialogProps {
  readonly label: string;
  /** Whether it was not accepted before: then Escape does not close it. */
  readonly isNew: boolean;
  readonly onClose: () => void;
}

/** Must be accepted once by each person in each browser, and can be read again. */
export function NoticeDialog({ label, isNew, onClose }: NoticeDialogProps) {
  return (
    <Dialog
      title={t("Research use, not a medical device")}
      {...(!isNew && { onClose })}
      actions={
        <button type="button" className="button button-primary" onClick={onClose} autoFocus>
          {label}
        </button>
      }
    >
      <p>
        {t("This system analyses frontal chest radiographs with models trained on public research data. It is not approved as a medical device and must not be used to decide about a patient.")}
      </p>
      <ul>
        <li>{t("It misses findings, and it marks what is not there.")}</li>
        <li>{t("A result without a likely finding does not mean a normal radiograph.")}</li>
        <li>{t("It does not know the patient, the history or earlier images.")}</li>
      </ul>
      <p>{t("Every image needs the eyes of someone qualified to read it.")}</p>
    </Dialog>
  );
}
