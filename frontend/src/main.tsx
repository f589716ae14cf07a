import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Entrance } from "./components/Entrance";
import "./styles/base.css";
import "./styles/controls.css";

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root");
}
createRoot(root).render(
  <StrictMode>
    <Entrance />
  </StrictMode>,
);
