import { find } from "../browser/dom.js";
import { factsOf, timingsOf } from "./facts.js";

/** @typedef {import("../server/types.js").Video} Video */

/** Show the facts and the timings of a video. @param {HTMLElement} root @param {Video} video */
export function showFacts(root, video) {
  const facts = factsOf(video);
  const list = find(root, "[data-part=facts]", HTMLElement);
  list.hidden = false;
  // Only after a change, as writing loses a text selection.
  const fingerprint = JSON.stringify(facts);
  if (list.dataset.fingerprint !== fingerprint) {
    list.dataset.fingerprint = fingerprint;
    list.replaceChildren(...facts.map(([name, value]) => row(name, value)));
  }
  const stages = timingsOf(video);
  find(root, "[data-part=timings]", HTMLElement).hidden = stages.length === 0;
  find(root, "[data-part=stages]", HTMLElement).replaceChildren(...stages.map(stageRow));
}

/** @param {string} name @param {string} value */
function row(name, value) {
  const div = document.createElement("div");
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  dt.textContent = name;
  if (name === "Remix of") dd.append(linkTo(value));
  else dd.textContent = value;
  div.append(dt, dd);
  return div;
}

/** @param {string} id */
function linkTo(id) {
  const link = document.createElement("a");
  link.href = `/videos/${encodeURIComponent(id)}`;
  link.textContent = id;
  return link;
}

/** @param {{name: string, label: string, share: number}} stage */
function stageRow({ name, label, share }) {
  const div = row(name, label);
  const bar = document.createElement("span");
  bar.className = "share";
  bar.style.setProperty("--share", share.toFixed(3));
  div.lastElementChild?.append(bar);
  return div;
}
