/**
 * Keep the height that an on-screen keyboard covers in the CSS variable `--keyboard`. Only Safari needs it:
 * other browsers shrink the page instead, as its `viewport` asks them to.
 */
export function followKeyboard() {
  const viewport = window.visualViewport;
  const root = document.documentElement;
  const update = () => viewport && root.style.setProperty("--keyboard", `${coveredHeight(root.clientHeight, viewport)}px`);
  for (const type of ["resize", "scroll"]) viewport?.addEventListener(type, update);
}

/**
 * The height that is covered at the bottom of the page's viewport.
 *
 * @param {number} height of the viewport, in CSS pixels
 * @param {{height: number, offsetTop: number, scale: number}} visible the part of it in view
 */
export function coveredHeight(height, visible) {
  // Zoomed in, what is out of view can be scrolled to.
  if (visible.scale !== 1) return 0;
  return Math.max(0, Math.round(height - visible.height - visible.offsetTop));
}
