import type { Me, ServiceStatus, SystemStatus } from "../../api/schema";
import { roleName } from "../../domain/studies";
import { AGREEMENT_PATH, DRIFT_PATH } from "../../state/useRoute";
import { UserMenu } from "../access/UserMenu";
import { IconButton } from "../controls";
import { Icon } from "../Icon";
import { t } from "../../i18n/t";
import styles from "./page.module.css";

interface HeaderProps {
  readonly system: SystemStatus | null;
  readonly isLost: boolean;
  readonly listShown: boolean;
  readonly onToggleList: () => void;
  /** Null for whoever may not send any. */
  readonly onChooseFiles: (() => void) | null;
  readonly onHelp: () => void;
  readonly onHome: () => void;
  readonly me: Me;
  readonly isDrift: boolean;
  /** Null for whoever may not see it. */
  readonly onDrift: (() => void) | null;
  readonly isAgreement: boolean;
  readonly onAgreement: (() => void) | null;
}

export function Header(props: HeaderProps) {
  return (
    <header className={styles.header}>
      <IconButton
        icon="list"
        label={t("Show the list of studies")}
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
          <img src="/favicon.svg" alt="" width={24} height={24} />{" "}{t("Open chest X-ray reader")}
        </a>
      </h1>
      <div className={styles.headerEnd}>
        <Services system={props.system} isLost={props.isLost} />
        {props.onDrift !== null && (
          <PageLink name={t("Drift")} path={DRIFT_PATH} isOpen={props.isDrift} onOpen={props.onDrift} />
        )}
        {props.onAgreement !== null && (
          <PageLink name={t("Agreement")} path={AGREEMENT_PATH} isOpen={props.isAgreement} onOpen={props.onAgreement} />
        )}
        {props.onChooseFiles !== null && (
          <button
            type="button"
            className="button button-primary"
            aria-keyshortcuts="u"
            onClick={props.onChooseFiles}
          >
            <Icon name="upload" size={18} />{" "}{t("Analyse files")}
          </button>
        )}
        <IconButton icon="help" label={t("Help and settings")} shortcut="?" onClick={props.onHelp} />
        <UserMenu me={props.me} />
      </div>
    </header>
  );
}

interface PageLinkProps {
  readonly name: string;
  readonly path: string;
  readonly isOpen: boolean;
  readonly onOpen: () => void;
}

function PageLink({ name, path, isOpen, onOpen }: PageLinkProps) {
  return (
    <a
      className="button button-quiet"
      href={path}
      aria-current={isOpen ? "page" : undefined}
      onClick={(event) => {
        event.preventDefault();
        onOpen();
      }}
    >
      {name}
    </a>
  );
}

/** Whether the inference services are ready, as the gateway sees them. */
function Services({ system, isLost }: { readonly system: SystemStatus | null; readonly isLost: boolean }) {
  if (isLost || system === null) {
    return null;
  }
  return (
    <ul className={styles.services} aria-label={t("Inference services")}>
      {system.services.map((service) => (
        <Service key={service.role} service={service} />
      ))}
    </ul>
  );
}

function Service({ service }: { readonly service: ServiceStatus }) {
  const { role, ready, detail, model } = service;
  const more = ready ? `${model?.name ?? ""} ${model?.version ?? ""}`.trim() : (detail ?? "");
  return (
    <li className={styles.service} data-ready={ready} title={more}>
      <span aria-hidden="true">{ready ? "●" : "✕"}</span> {roleName(role)}{" "}
      {ready ? <span className="visually-hidden">{t("ready")}</span> : t("not ready")}
    </li>
  );
}
