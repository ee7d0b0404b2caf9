/** Starts the page. */

import "./fonts.css";
import "./style.css";

import { App } from "./app";
import { useStoredLanguage } from "./i18n";

declare global {
  interface Window {
    /** For tests in a real browser: what the map draws and where. */
    umsicht?: App;
  }
}

useStoredLanguage();
const root = document.getElementById("app");
if (root !== null) {
  const app = new App(root);
  window.umsicht = app;
  app.start();
}
