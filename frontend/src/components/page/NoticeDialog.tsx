import { Dialog } from "./Dialog";

/** Must be accepted once in each browser. */
export function NoticeDialog({ onAccept }: { readonly onAccept: () => void }) {
  return (
    <Dialog
      title="Research use, not a medical device"
      actions={
        <button type="button" className="button button-primary" onClick={onAccept} autoFocus>
          I understand
        </button>
      }
    >
      <p>
        This system analyses frontal chest radiographs with models trained on public research data. It
        is not approved as a medical device and must not be used to decide about a patient.
      </p>
      <ul>
        <li>It misses findings, and it marks what is not there.</li>
        <li>A negative result does not mean a normal radiograph.</li>
        <li>It does not know the patient, the history or earlier images.</li>
      </ul>
      <p>Every image needs the eyes of someone qualified to read it.</p>
    </Dialog>
  );
}
