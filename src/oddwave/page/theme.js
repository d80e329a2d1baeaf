// Light and dark: as the system is, until the button says otherwise.

import { byId } from "./dom.js";
import { t } from "./words.js";

let isListening = false;

/** Follow the system and the button; `changed` hears of each change. */
export function listenToTheme(changed) {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const use = (theme) => {
    document.documentElement.dataset.theme = theme;
    byId("theme").textContent = t(theme === "dark" ? "light" : "dark");
    changed();
  };
  const wished = () => (wish.matches ? "dark" : "light");
  const theme = () => document.documentElement.dataset.theme;
  use(theme() ?? wished());
  byId("language").textContent = document.documentElement.lang === "en" ? "中文" : "English";
  if (isListening) return;
  isListening = true;
  wish.addEventListener("change", () => use(wished()));
  byId("theme").addEventListener("click", () => use(theme() === "dark" ? "light" : "dark"));
  byId("language").addEventListener("click", () =>
    setTimeout(() => {
      use(theme()); // the words of both buttons
      byId("language").textContent = document.documentElement.lang === "en" ? "中文" : "English";
    }),
  );
}
