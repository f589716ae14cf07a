import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./components/App";
import "./styles/base.css";
import "./styles/controls.css";

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root");
}
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
