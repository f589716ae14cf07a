import type { ReaderStatus, SystemStatus } from "../../api/schema";
import { roleName } from "../../domain/studies";
import { DRIFT_PATH } from "../../state/useRoute";
import { IconButton } from "../controls";
import { Icon } from "../Icon";
import styles from "./page.module.css";

interface HeaderProps {
  readonly system: SystemStatus | null;
  readonly isLost: boolean;
  readonly listShown: boolean;
  readonly onToggleList: () => void;
  readonly onChooseFiles: () => void;
  readonly onHelp: () => void;
  readonly onHome: () => void;
  readonly isDrift: boolean;
  readonly onDrift: () => void;
}

export function Header(props: HeaderProps) {
  return (
    <header className={styles.header}>
      <IconButton
        icon="list"
        label="Show the list of studies"
        shortcut="l"
        pressed={props.listShown}
        onClick={props.onToggleList}
      />
      <h1 className={styles.brand}>
        <a
          href="/"
          onClick={(event) => {
            event.preventDefault();
            props.onHome();
          }}
        >
          <img src="/favicon.svg" alt="" width={24} height={24} /> Open chest X-ray reader
        </a>
      </h1>
      <div className={styles.headerEnd}>
        <Readers system={props.system} isLost={props.isLost} />
        <a
          className="button button-quiet"
          href={DRIFT_PATH}
          aria-current={props.isDrift ? "page" : undefined}
          onClick={(event) => {
            event.preventDefault();
            props.onDrift();
          }}
        >
          Drift
        </a>
        <button
          type="button"
          className="button button-primary"
          aria-keyshortcuts="u"
          onClick={props.onChooseFiles}
        >
          <Icon name="upload" size={18} /> Read files
        </button>
        <IconButton icon="help" label="Keyboard and mouse" shortcut="?" onClick={props.onHelp} />
      </div>
    </header>
  );
}

/** Whether the readers answer, as the gateway sees them. */
function Readers({ system, isLost }: { readonly system: SystemStatus | null; readonly isLost: boolean }) {
  if (isLost || system === null) {
    return null;
  }
  return (
    <ul className={styles.readers} aria-label="Readers">
      {system.readers.map((reader) => (
        <Reader key={reader.role} reader={reader} />
      ))}
    </ul>
  );
}

function Reader({ reader }: { readonly reader: ReaderStatus }) {
  const { role, ready, detail, model } = reader;
  const more = ready ? `${model?.name ?? ""} ${model?.version ?? ""}`.trim() : (detail ?? "");
  return (
    <li className={styles.reader} data-ready={ready} title={more}>
      <span aria-hidden="true">{ready ? "●" : "✕"}</span> {roleName(role)}{" "}
      {ready ? <span className="visually-hidden">ready</span> : "not ready"}
    </li>
  );
}
