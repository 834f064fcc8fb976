/** @typedef {import("./types.js").Video} Video */

/**
 * Which videos are shown. Days are the reader's own, as YYYY-MM-DD; "" stands for any.
 *
 * @typedef {object} Query
 * @property {string} q
 * @property {string} status
 * @property {string} from
 * @property {string} to
 */

/** @type {Readonly<Query>} */
export const EVERYTHING = Object.freeze({ q: "", status: "", from: "", to: "" });

const STATES = ["queued", "in_progress", "completed", "failed"];

/** From the address of the page; what can't be used is left out. @param {string} search @returns {Query} */
export function readQuery(search) {
  const given = new URLSearchParams(search);
  const day = (/** @type {string} */ name) => {
    const text = given.get(name) ?? "";
    return Number.isNaN(startOf(text)) ? "" : text;
  };
  const status = given.get("status") ?? "";
  return {
    q: given.get("q") ?? "",
    status: STATES.includes(status) ? status : "",
    from: day("from"),
    to: day("to"),
  };
}

/** For the address of the page. @param {Query} query @returns {string} "" or "?..." */
export function writeQuery(query) {
  const filled = Object.entries(query).filter(([, value]) => value !== "");
  return filled.length === 0 ? "" : `?${new URLSearchParams(filled)}`;
}

/**
 * For the API.
 *
 * @param {Query} query
 * @param {number} limit of videos
 * @param {string} [after] the id of the video before the page
 */
export function apiQuery({ q, status, from, to }, limit, after) {
  return new URLSearchParams({
    limit: String(limit),
    ...(q.trim() && { q: q.trim() }),
    ...(status && { status }),
    ...(from && { created_after: String(startOf(from)) }),
    ...(to && { created_before: String(endOf(to)) }),
    ...(after !== undefined && { after }),
  });
}

/** Whether the API would list the video. @param {Video} video @param {Query} query */
export function matches(video, { q, status, from, to }) {
  if (status && video.status !== status) return false;
  if (from && video.created_at < startOf(from)) return false;
  if (to && video.created_at >= endOf(to)) return false;
  return folded(video.prompt).includes(folded(q.trim()));
}

/** @param {Query} query */
export function isFiltered(query) {
  return writeQuery(query) !== "";
}

/** @param {number} daysAgo @returns {string} YYYY-MM-DD */
export function dayBefore(daysAgo) {
  const date = new Date();
  date.setDate(date.getDate() - daysAgo);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** In Unix seconds; NaN if it is no day. @param {string} day */
function startOf(day) {
  return /^\d{4}-\d\d-\d\d$/.test(day) ? new Date(`${day}T00:00:00`).getTime() / 1000 : NaN;
}

/** @param {string} day */
function endOf(day) {
  const date = new Date(`${day}T00:00:00`);
  date.setDate(date.getDate() + 1);
  return date.getTime() / 1000;
}

/** @param {string} text */
function folded(text) {
  return text.normalize("NFC").toLowerCase();
}
