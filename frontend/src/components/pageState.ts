import type { Dispatch, RefObject } from "react";

import type { ListPanel } from "../state/useListPanel";
import type { Session } from "../state/useSession";
import type { Trust } from "../domain/trust";
import type { Shown, ViewerAction, ViewerState } from "../state/viewer";
import type { ViewCommands } from "./viewer/viewCommands";

/** What a person has opened, closed and agreed to. */
export interface Panels extends ListPanel {
  readonly accepted: boolean;
  readonly setAccepted: (accepted: boolean) => void;
  /** Whether the notice is read again. */
  readonly noticeShown: boolean;
  readonly setNoticeShown: (shown: boolean) => void;
  readonly overlayFirst: boolean;
  readonly onOverlayFirst: (on: boolean) => void;
  readonly shortcutsOn: boolean;
  readonly onShortcutsOn: (on: boolean) => void;
  readonly helpShown: boolean;
  readonly setHelpShown: (shown: boolean) => void;
  readonly allShown: boolean;
  readonly setAllShown: (shown: boolean) => void;
}

/** What the whole page shares. */
export interface PageParts {
  readonly session: Session;
  readonly trust: Trust;
  readonly panels: Panels;
  readonly picker: RefObject<HTMLInputElement | null>;
}

/** And how the open study is looked at, which changes with every move of a pointer. */
export interface PageState extends PageParts {
  readonly state: ViewerState;
  readonly shown: Shown;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly commands: RefObject<ViewCommands | null>;
}
