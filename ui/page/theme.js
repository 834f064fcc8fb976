// Not a module: it must run before the first paint, so that the other theme never shows.
(() => {
  const NAME = "kinora.theme";
  const THEMES = ["system", "light", "dark"];

  function read() {
    try {
      return localStorage.getItem(NAME) ?? "system";
    } catch {
      return "system";
    }
  }

  /** @param {string} theme */
  function show(theme) {
    document.documentElement.dataset.theme = theme;
  }

  show(read());
  addEventListener("storage", (event) => {
    if (event.key === NAME) show(read());
  });
  document.addEventListener("DOMContentLoaded", () => {
    const select = document.querySelector("#theme");
    if (!(select instanceof HTMLSelectElement)) return;
    select.value = THEMES.includes(read()) ? read() : "system";
    select.addEventListener("change", () => {
      show(select.value);
      try {
        localStorage.setItem(NAME, select.value);
      } catch {
        // Kept until the page is closed.
      }
    });
  });
})();
