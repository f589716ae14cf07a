import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { startLanguage } from "./i18n/languages";
import { applyTheme, storedTheme } from "./state/theme";
import "./styles/base.css";
import "./styles/controls.css";

applyTheme(storedTheme());

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root");
}
// Tables of texts are made when their modules are loaded: the language comes first.
await startLanguage();
const { Entrance } = await import("./components/Entrance");
createRoot(root).render(
  <StrictMode>
    <Entrance />
  </StrictMode>,
);
